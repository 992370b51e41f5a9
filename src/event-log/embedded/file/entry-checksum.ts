// The CRC-32 of an entry: over its fields and the CRC-32 of its bytes, so that a change of any field is detected.

import { crc32 } from 'node:zlib'

/**
 * The number of fields: append number, stream, first offset, event count, start byte, received at, attempt, due at,
 * origin offset.
 */
export const checkedFields = 9

/** The columns that `read-entry.sql` and `scan-entries.sql` select: the fields, the checksum, and the bytes. */
export type EntryColumns = readonly (number | Uint8Array | null)[]

export interface StoredEntry {
  /** In the order of `checkedFields`. */
  readonly fields: readonly number[]
  readonly crc: number
  readonly bytes: Uint8Array
  /** Whether it does not match its checksum. */
  readonly damaged: boolean
}

export class EntryChecksum {
  readonly #numbers = new Float64Array(checkedFields + 1)
  readonly #bytes = new Uint8Array(this.#numbers.buffer)

  /** @param fields in the order of `checkedFields`; -1 for the last three where the entry does not have them. */
  of(fields: ArrayLike<number>, bytes: Uint8Array): number {
    this.#numbers.set(fields)
    this.#numbers[checkedFields] = crc32(bytes)
    return crc32(this.#bytes)
  }

  read(row: EntryColumns): StoredEntry {
    const fields = row.slice(0, checkedFields) as number[]
    const [crc, blob] = row.slice(checkedFields) as [number, unknown]
    const bytes = blob instanceof Uint8Array ? blob : new Uint8Array(0)
    return { fields, crc, bytes, damaged: !(blob instanceof Uint8Array) || this.of(fields, bytes) !== crc }
  }
}
