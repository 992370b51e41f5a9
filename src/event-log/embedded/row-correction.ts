// Corrects one flipped bit in a row of the books: of the few hundred rows that differ in one bit, the original is the
// one that matches the checksum. (A few hundred candidates against 2^32 checksums make a false match unlikely.)

import { type ColumnValue, rowChecksum } from './log-rows.ts'

/** Numbers in the books are integers below 2^53. */
const numberBits = 53

/** The values to which the checksum belongs, or null when more than one bit is wrong. */
export function correctRow(table: string, values: readonly ColumnValue[], crc: number): readonly ColumnValue[] | null {
  if (bitsSet((rowChecksum(table, values) ^ crc) >>> 0) <= 1) return values
  for (let column = 0; column < values.length; column++) {
    for (const variant of variants(values[column]!)) {
      const corrected = values.with(column, variant)
      if (rowChecksum(table, corrected) === crc) return corrected
    }
  }
  return null
}

/** Every value that differs in one bit. */
function* variants(value: ColumnValue): Generator<ColumnValue> {
  if (typeof value === 'number') {
    for (let bit = 0; bit < numberBits; bit++) {
      const weight = 2 ** bit
      yield Math.floor(value / weight) % 2 === 1 ? value - weight : value + weight
    }
    return
  }
  const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.from(value)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    yield typeof value === 'string' ? flipped.toString() : new Uint8Array(flipped)
  }
}

function bitsSet(word: number): number {
  let count = 0
  for (let rest = word; rest !== 0; rest &= rest - 1) count++
  return count
}
