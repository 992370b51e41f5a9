import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type ColumnValue, rowChecksum } from './log-rows.ts'
import { correctRow } from './row-correction.ts'

const row: fc.Arbitrary<ColumnValue[]> = fc.array(
  fc.oneof(fc.integer({ min: 0, max: 2 ** 40 }), fc.constantFrom('events', 'orders.eu', 'landing', 'normal')),
  { minLength: 1, maxLength: 9 },
)

test('a row with one flipped bit is restored', () => {
  fc.assert(
    fc.property(row, fc.nat(), fc.nat(), (values, atColumn, atBit) => {
      const crc = rowChecksum('t', values)
      const column = atColumn % values.length
      const value = values[column]!
      let wrong: ColumnValue
      if (typeof value === 'number') {
        const weight = 2 ** (atBit % 53)
        wrong = Math.floor(value / weight) % 2 === 1 ? value - weight : value + weight
      } else {
        const bytes = Buffer.from(value as string)
        // The highest bit would make it invalid UTF-8, which SQLite does not return as it was stored.
        bytes[atBit % bytes.length]! ^= 1 << (atBit % 7)
        wrong = bytes.toString()
      }
      assert.deepEqual(correctRow('t', values.with(column, wrong), crc), values)
    }),
  )
})

test('a flipped bit of the checksum itself leaves the values as they are', () => {
  const values = [1, 'events', 3]
  for (let bit = 0; bit < 32; bit++) {
    assert.deepEqual(correctRow('t', values, (rowChecksum('t', values) ^ (1 << bit)) >>> 0), values)
  }
})

test('a row with two flipped bits is not corrected', () => {
  const values = [1, 'events', 3]
  const crc = rowChecksum('t', values)
  assert.equal(correctRow('t', [0, 'events', 2], crc), null)
  assert.equal(correctRow('other table', values, crc), null)
})
