// Finds where a JSON value (RFC 8259) ends, or what is wrong with it, without building anything from it.
//
// Stricter than JSON.parse where a database or a reader would stumble later: depth is bounded, and neither the NUL escape
// nor a lone surrogate passes, for PostgreSQL's jsonb takes neither. Numbers keep their text: 1e400000 is JSON.
// By hand because JSON.parse builds the value: floor F9 in bench/ compares the two.

import { sameBytes } from './utf8.ts'

/** Containers may nest this deep; the stack of open ones is kept in 64 bits. */
export const maxJsonDepth = 64

const faultMessages = [
  'is not valid JSON',
  `nests deeper than ${maxJsonDepth} levels`,
  'has the escape \\u0000, which no database text can hold',
  'has half a surrogate pair as a \\u escape',
  'is not valid UTF-8',
] as const

const syntax = 0
const tooDeep = 1
const nulEscape = 2
const loneSurrogate = 3
const badUtf8 = 4

/** A fault and its place in one number below zero, so that the scan allocates nothing. */
const faultAt = (kind: number, at: number): number => -1 - (at * 8 + kind)

/** What a negative result means: continues "the data ..." and says at which byte, counted from `start`. */
export function describeJsonFault(result: number, start: number): string {
  const encoded = -1 - result
  const kind = encoded % 8
  return `${faultMessages[kind] ?? faultMessages[syntax]} (at byte ${Math.floor(encoded / 8) - start})`
}

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a
const minus = 0x2d
const dot = 0x2e
const openArray = 0x5b
const closeArray = 0x5d
const openObject = 0x7b
const closeObject = 0x7d

const isSpace = new Uint8Array(256)
for (const byte of [0x20, 0x09, 0x0a, 0x0d]) isSpace[byte] = 1

/** ASCII bytes that stand for themselves inside a string. */
const isPlain = new Uint8Array(256).fill(1, 0x20, 0x80)
isPlain[quote] = 0
isPlain[backslash] = 0

const hexValue = new Int8Array(256).fill(-1)
for (let digit = 0; digit < 16; digit++) {
  hexValue[digit.toString(16).charCodeAt(0)] = digit
  hexValue[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}

/** First byte after the white space from `at` on. */
export function skipJsonSpace(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && isSpace[bytes[at]!] === 1) at++
  return at
}

/** Checks that `start` to `end` is exactly one JSON value, white space around it allowed. 0 when it is, else a fault. */
export function checkJson(bytes: Uint8Array, start: number, end: number): number {
  const valueEnd = scanJsonValue(bytes, start, end)
  if (valueEnd < 0) return valueEnd
  const rest = skipJsonSpace(bytes, valueEnd, end)
  return rest === end ? 0 : faultAt(syntax, rest)
}

/** The end of the JSON value that begins at or after `start` (white space is skipped), or a fault below zero. */
export function scanJsonValue(bytes: Uint8Array, start: number, end: number): number {
  // One bit for each open container, the innermost lowest: 1 for an object.
  let openLow = 0
  let openHigh = 0
  let depth = 0
  let at = start
  for (;;) {
    at = skipJsonSpace(bytes, at, end)
    if (at >= end) return faultAt(syntax, end)
    const byte = bytes[at]!
    if (byte === quote) {
      at = scanString(bytes, at, end)
      if (at < 0) return at
    } else if (byte === openObject || byte === openArray) {
      if (++depth > maxJsonDepth) return faultAt(tooDeep, at)
      openHigh = (openHigh << 1) | (openLow >>> 31)
      openLow = (openLow << 1) | (byte === openObject ? 1 : 0)
      at = skipJsonSpace(bytes, at + 1, end)
      if (at < end && bytes[at] === (byte === openObject ? closeObject : closeArray)) {
        // An empty container: the loop below closes it.
      } else if (byte === openObject) {
        at = scanName(bytes, at, end)
        if (at < 0) return at
        continue
      } else {
        continue
      }
    } else {
      at = byte === minus || (byte >= 0x30 && byte <= 0x39) ? scanNumber(bytes, at, end) : scanWord(bytes, at, end)
      if (at < 0) return at
    }
    // A value has ended here (or an empty container stands before its bracket): close what closes, then go on.
    for (;;) {
      if (depth === 0) return at
      at = skipJsonSpace(bytes, at, end)
      if (at >= end) return faultAt(syntax, end)
      const next = bytes[at]!
      const inObject = (openLow & 1) === 1
      if (next === (inObject ? closeObject : closeArray)) {
        openLow = (openLow >>> 1) | (openHigh << 31)
        openHigh >>>= 1
        depth--
        at++
        continue
      }
      if (next !== comma) return faultAt(syntax, at)
      at++
      if (inObject) {
        at = scanName(bytes, skipJsonSpace(bytes, at, end), end)
        if (at < 0) return at
      }
      break
    }
  }
}

/** A member's name and its colon; `at` is where the name must begin. */
function scanName(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end || bytes[at] !== quote) return faultAt(syntax, at)
  at = scanString(bytes, at, end)
  if (at < 0) return at
  at = skipJsonSpace(bytes, at, end)
  return at < end && bytes[at] === colon ? at + 1 : faultAt(syntax, at)
}

/** The string whose opening quote is at `at`. */
export function scanString(bytes: Uint8Array, at: number, end: number): number {
  at++
  for (;;) {
    while (at < end && isPlain[bytes[at]!] === 1) at++
    if (at >= end) return faultAt(syntax, end)
    const byte = bytes[at]!
    if (byte === quote) return at + 1
    if (byte >= 0x80) at = scanCodePoint(bytes, at, end)
    else if (byte === backslash) at = scanEscape(bytes, at, end)
    else return faultAt(syntax, at)
    if (at < 0) return at
  }
}

/** A character of two to four bytes; which byte may follow which is the table of RFC 3629, section 4. */
function scanCodePoint(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at]!
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
  if (length === 0 || at + length > end) return faultAt(badUtf8, at)
  const second = bytes[at + 1]!
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (second < lowest || second > highest) return faultAt(badUtf8, at)
  for (let next = at + 2; next < at + length; next++) {
    if ((bytes[next]! & 0xc0) !== 0x80) return faultAt(badUtf8, at)
  }
  return at + length
}

function scanEscape(bytes: Uint8Array, at: number, end: number): number {
  if (at + 1 >= end) return faultAt(syntax, end)
  switch (bytes[at + 1]!) {
    case 0x22: // "
    case 0x5c: // \
    case 0x2f: // /
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return at + 2
    case 0x75: // u
      break
    default:
      return faultAt(syntax, at)
  }
  const unit = hexUnit(bytes, at + 2, end)
  if (unit < 0) return faultAt(syntax, at)
  if (unit === 0) return faultAt(nulEscape, at)
  if (unit < 0xd800 || unit > 0xdfff) return at + 6
  if (unit >= 0xdc00 || at + 12 > end || bytes[at + 6] !== backslash || bytes[at + 7] !== 0x75) {
    return faultAt(loneSurrogate, at)
  }
  const second = hexUnit(bytes, at + 8, end)
  return second >= 0xdc00 && second <= 0xdfff ? at + 12 : faultAt(loneSurrogate, at)
}

/** The UTF-16 unit that four hexadecimal digits name, or -1. */
function hexUnit(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) return -1
  const a = hexValue[bytes[at]!]!
  const b = hexValue[bytes[at + 1]!]!
  const c = hexValue[bytes[at + 2]!]!
  const d = hexValue[bytes[at + 3]!]!
  return (a | b | c | d) < 0 ? -1 : (a << 12) | (b << 8) | (c << 4) | d
}

function scanNumber(bytes: Uint8Array, at: number, end: number): number {
  if (bytes[at] === minus) at++
  if (at < end && bytes[at] === 0x30) {
    at++
  } else {
    const whole = scanDigits(bytes, at, end)
    if (whole === at) return faultAt(syntax, at)
    at = whole
  }
  if (at < end && bytes[at] === dot) {
    const fraction = scanDigits(bytes, at + 1, end)
    if (fraction === at + 1) return faultAt(syntax, at)
    at = fraction
  }
  if (at < end && (bytes[at]! | 0x20) === 0x65) {
    at++
    if (at < end && (bytes[at] === 0x2b || bytes[at] === minus)) at++
    const exponent = scanDigits(bytes, at, end)
    if (exponent === at) return faultAt(syntax, at)
    at = exponent
  }
  return at
}

function scanDigits(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) at++
  return at
}

const words = ['true', 'false', 'null'].map((word) => new TextEncoder().encode(word))

function scanWord(bytes: Uint8Array, at: number, end: number): number {
  for (const word of words) {
    if (bytes[at] === word[0] && at + word.length <= end && sameBytes(bytes, at, word, 0, word.length)) {
      return at + word.length
    }
  }
  return faultAt(syntax, at)
}
