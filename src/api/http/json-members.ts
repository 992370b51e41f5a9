// Iterates over the members of one JSON object in a body, without parsing their values.
//
// Job: find where each value starts and ends, so that data can be sliced from the body. Distinguish text that is not
// JSON, for which the whole body is refused, from a value for which only its event is refused (too deep, a NUL escape).
// Not its job: what the members mean (plain-event.ts, cloud-event-json.ts).

import { describeJsonFault, type JsonText, skipJsonSpace } from '../../lib/json/json-text.ts'

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a
const openArray = 0x5b
const closeArray = 0x5d
const openObject = 0x7b
const closeObject = 0x7d

/** Names that are kept, one for each member from the first. */
const maxKnownNames = 16
const maxKnownNameBytes = 64

/** A name in quotes as it was read, and its text. */
interface KnownName {
  readonly bytes: Uint8Array
  readonly text: string
}

/** A cursor over the members of an object; reused for many objects. */
export class JsonMembers {
  readonly text: JsonText
  name = ''
  valueStart = 0
  valueEnd = 0
  /** Why the value is invalid although the text is JSON; continues "data ...". Otherwise ''. */
  fault = ''
  /** The end of the object, once `next()` has returned false. */
  end = 0
  /** The byte at which the text stops being JSON; -1 while it is valid. */
  brokenAt = -1

  #at = 0
  #limit = 0
  #isFirst = true
  #index = 0
  /** Most objects have the members of the one before, in the same order: their names are compared, not decoded. */
  readonly #knownNames: KnownName[] = []

  /** @param text must keep its bytes until the last member was read. */
  constructor(text: JsonText) {
    this.text = text
  }

  get bytes(): Uint8Array {
    return this.text.bytes
  }

  /** Begins with the object whose opening brace is at `start`. */
  reset(start: number, limit: number): this {
    this.#at = start + 1
    this.#limit = limit
    this.#isFirst = true
    this.#index = 0
    this.brokenAt = -1
    return this
  }

  /** Moves to the next member; false at the end of the object and where the text is broken. */
  next(): boolean {
    const { bytes } = this
    const limit = this.#limit
    let at = skipJsonSpace(bytes, this.#at, limit)
    if (bytes[at] === closeObject && at < limit) {
      this.end = at + 1
      return false
    }
    if (!this.#isFirst) {
      if (at >= limit || bytes[at] !== comma) return this.#break(at)
      at = skipJsonSpace(bytes, at + 1, limit)
    }
    this.#isFirst = false
    if (at >= limit || bytes[at] !== quote) return this.#break(at)
    const known = this.#knownNames[this.#index]
    let nameEnd = 0
    if (known !== undefined && beginsWith(bytes, at, limit, known.bytes)) {
      nameEnd = at + known.bytes.length
      this.name = known.text
    } else {
      nameEnd = this.#readName(at, limit)
      if (nameEnd <= 0) return this.#break(at)
    }
    this.#index++
    at = skipJsonSpace(bytes, nameEnd, limit)
    if (at >= limit || bytes[at] !== colon) return this.#break(at)
    return this.#value(skipJsonSpace(bytes, at + 1, limit))
  }

  /** The end of the name at `at`; 0 or less where the text is broken. */
  #readName(at: number, limit: number): number {
    const { bytes } = this
    let nameEnd = this.text.endOfValue(at, limit)
    // A name with a NUL escape or a lone surrogate is valid JSON, but matches no known key.
    if (nameEnd < 0 && !isSyntaxFault(describeJsonFault(nameEnd, at))) nameEnd = closingQuote(bytes, at + 1, limit) + 1
    if (nameEnd <= 0) return nameEnd
    this.name = jsonText(bytes, at, nameEnd)
    // A copy: the bytes are those of the connection.
    if (this.#index < maxKnownNames && nameEnd - at <= maxKnownNameBytes) {
      this.#knownNames[this.#index] = { bytes: Uint8Array.from(bytes.subarray(at, nameEnd)), text: this.name }
    }
    return nameEnd
  }

  #value(start: number): boolean {
    this.valueStart = start
    this.fault = ''
    this.valueEnd = this.text.endOfValue(start, this.#limit)
    if (this.valueEnd < 0) {
      this.fault = describeJsonFault(this.valueEnd, start)
      this.valueEnd = isSyntaxFault(this.fault) ? -1 : skipJsonValue(this.bytes, start, this.#limit)
      if (this.valueEnd < 0) return this.#break(start)
    }
    this.#at = this.valueEnd
    return true
  }

  #break(at: number): false {
    this.brokenAt = at
    return false
  }
}

/** Whether a result of `describeJsonFault` means that the text is not JSON at all. */
export function isSyntaxFault(description: string): boolean {
  return description.startsWith('is not valid JSON')
}

/**
 * The end of a value with balanced strings and brackets, at any depth, or -1. It checks nothing else: it only skips a
 * value that is refused anyway, to reach the events after it.
 */
export function skipJsonValue(bytes: Uint8Array, start: number, limit: number): number {
  let depth = 0
  for (let at = start; at < limit; at++) {
    switch (bytes[at]) {
      case quote:
        at = closingQuote(bytes, at + 1, limit)
        if (at < 0) return -1
        break
      case openArray:
      case openObject:
        depth++
        continue
      case closeArray:
      case closeObject:
        depth--
        break
      default:
        continue
    }
    if (depth <= 0) return depth < 0 ? -1 : at + 1
  }
  return -1
}

function closingQuote(bytes: Uint8Array, at: number, limit: number): number {
  for (; at < limit; at++) {
    if (bytes[at] === quote) return at
    if (bytes[at] === backslash) at++
  }
  return -1
}

/** The text of the JSON string from `start` to `end`, quotes included. */
export function jsonText(bytes: Uint8Array, start: number, end: number): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const text = buffer.toString('utf8', start + 1, end - 1)
  return text.includes('\\') ? JSON.parse(`"${text}"`) : text
}

function beginsWith(bytes: Uint8Array, at: number, limit: number, expected: Uint8Array): boolean {
  const { length } = expected
  if (at + length > limit) return false
  for (let index = 0; index < length; index++) if (bytes[at + index] !== expected[index]) return false
  return true
}

/** Whether the value that begins at `start` is a JSON string. */
export function isJsonString(bytes: Uint8Array, start: number): boolean {
  return bytes[start] === quote
}
