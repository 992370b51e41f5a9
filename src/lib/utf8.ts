// Checks on text that has not been decoded.

import { isUtf8 } from 'node:buffer'

/** Why bytes are not text that every database accepts: PostgreSQL's text and jsonb reject both. */
export type TextFault = 'nul' | 'utf8'

/** Checks the bytes from `start` to `end`; null if they are UTF-8 text without NUL. */
export function textFault(bytes: Uint8Array, start: number, end: number): TextFault | null {
  let bits = 0
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (byte === 0) return 'nul'
    bits |= byte
  }
  if (bits < 0x80) return null
  return isUtf8(bytes.subarray(start, end)) ? null : 'utf8'
}

/** Whether the bytes from `start` begin with the byte order mark that some editors write before UTF-8 or UTF-16 text. */
export function beginsWithByteOrderMark(bytes: Uint8Array, start: number): boolean {
  const first = bytes[start]
  if (first === 0xef) return bytes[start + 1] === 0xbb && bytes[start + 2] === 0xbf
  // No UTF-8 text has these two bytes.
  return (first === 0xff && bytes[start + 1] === 0xfe) || (first === 0xfe && bytes[start + 1] === 0xff)
}

/** For error messages, behind the name of the text. */
export const byteOrderMarkFault = 'begins with a byte order mark: leave it out, and use UTF-8'

/** Whether two ranges hold the same bytes. */
export function sameBytes(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number, length: number): boolean {
  for (let at = 0; at < length; at++) if (a[aStart + at] !== b[bStart + at]) return false
  return true
}
