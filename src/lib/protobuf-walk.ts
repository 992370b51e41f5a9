// Walks over the fields of encoded protobuf messages without decoding them
// (https://protobuf.dev/programming-guides/encoding).
//
// Job: read varints, skip fields, detect malformed bytes. Groups (wire types 3 and 4), which proto3 does not have,
// count as malformed, so the walk never recurses.

export const varintType = 0
export const fixed64Type = 1
export const bytesType = 2
export const fixed32Type = 5

/**
 * A cursor over the fields of one message. `next()` moves to the next field and sets `number`, `wireType`,
 * `fieldStart`, `valueStart` and `valueEnd`, and for varints `valueLow` and `valueHigh`. Reused for many messages:
 * nothing is allocated.
 */
export class FieldWalker {
  number = 0
  wireType = 0
  /** Start of the field, with its tag. */
  fieldStart = 0
  /** Start and end of the value, without tag and length. */
  valueStart = 0
  valueEnd = 0
  /** The low and the high 32 bits of a varint, unsigned. */
  valueLow = 0
  valueHigh = 0
  /** Set when `next()` has found bytes that are not a protobuf message. */
  broken = false

  #bytes: Uint8Array = new Uint8Array(0)
  #at = 0
  #end = 0

  reset(bytes: Uint8Array, start: number, end: number): this {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
    this.broken = false
    return this
  }

  /** Moves to the next field; false at the end and at malformed bytes (then `broken` is set). */
  next(): boolean {
    const bytes = this.#bytes
    const end = this.#end
    let at = this.#at
    if (at >= end) return false
    this.fieldStart = at
    let tag = bytes[at]!
    if (tag < 0x80) {
      at++
    } else {
      at = this.#readVarint(at)
      if (at < 0 || this.valueHigh !== 0) return this.#break()
      tag = this.valueLow
    }
    const number = tag >>> 3
    const wireType = tag & 7
    if (number === 0) return this.#break()
    this.number = number
    this.wireType = wireType
    if (wireType === bytesType) {
      let length = at < end ? bytes[at]! : 0x80
      if (length < 0x80) {
        at++
      } else {
        at = this.#readVarint(at)
        if (at < 0 || this.valueHigh !== 0) return this.#break()
        length = this.valueLow
      }
      this.valueStart = at
      at += length
    } else if (wireType === varintType) {
      this.valueStart = at
      at = this.#readVarint(at)
      if (at < 0) return this.#break()
    } else if (wireType === fixed64Type) {
      this.valueStart = at
      at += 8
    } else if (wireType === fixed32Type) {
      this.valueStart = at
      at += 4
    } else {
      return this.#break()
    }
    if (at > end) return this.#break()
    this.valueEnd = at
    this.#at = at
    return true
  }

  #break(): false {
    this.broken = true
    this.#at = this.#end
    return false
  }

  /** Reads a varint of at most 10 bytes into valueLow and valueHigh; returns the offset after it, or -1. */
  #readVarint(at: number): number {
    const bytes = this.#bytes
    const end = this.#end
    let low = 0
    let high = 0
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= end) return -1
      const byte = bytes[at++]!
      const part = byte & 0x7f
      if (shift < 28) low |= part << shift
      else if (shift === 28) {
        low |= part << 28
        high = part >>> 4
      } else if (shift < 63) high |= part << (shift - 32)
      else if (part > 1) return -1
      else high |= part << 31
      if (byte < 0x80) {
        this.valueLow = low >>> 0
        this.valueHigh = high >>> 0
        return at
      }
    }
    return -1
  }
}

/** How many bytes the varint of a number from 0 to 2^32 - 1 takes. */
export function varintLength(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5
}

/** Writes the varint of a number from 0 to 2^53 - 1 and returns the offset after it. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    bytes[at++] = (value & 0x7f) | 0x80
    value = value >= 0x80000000 ? Math.floor(value / 128) : value >>> 7
  }
  bytes[at++] = value
  return at
}
