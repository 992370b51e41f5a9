// The CRC-32 of an entry: over its fields and the CRC-32 of its bytes, so that a change of any field is detected.

import { crc32 } from 'node:zlib'

/**
 * The number of fields: append number, stream, first offset, event count, start byte, received at, attempt, due at,
 * origin offset.
 */
export const checkedFields = 9

export class EntryChecksum {
  readonly #numbers = new Float64Array(checkedFields + 1)
  readonly #bytes = new Uint8Array(this.#numbers.buffer)

  /** @param fields in the order of `checkedFields`; -1 for the last three where the entry does not have them. */
  of(fields: ArrayLike<number>, bytes: Uint8Array): number {
    this.#numbers.set(fields)
    this.#numbers[checkedFields] = crc32(bytes)
    return crc32(this.#bytes)
  }
}
