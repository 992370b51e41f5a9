import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatRfc3339, parseRfc3339 } from './rfc3339.ts'
import type { Micros } from './timestamp.ts'

test('times with any offset and up to microseconds are read exactly', () => {
  const cases = [
    ['1970-01-01T00:00:00Z', 0],
    ['2026-11-21T09:30:00.123456Z', 1795253400123456],
    ['2026-11-21t09:30:00.123456z', 1795253400123456],
    ['2026-11-21T10:30:00.123456+01:00', 1795253400123456],
    ['2026-11-20T21:00:00.5-12:30', 1795253400500000],
    ['2026-11-21T09:30:00.123456999Z', 1795253400123456],
    ['1969-12-31T23:59:59.999999Z', -1],
    ['0001-01-01T00:00:00Z', -62135596800000000n],
    ['1600-02-29T23:59:59.000001Z', -11670912000999999n],
    ['9999-12-31T23:59:59.999999Z', 253402300799999999n],
    ['9999-12-31T23:59:59.999999999-00:00', 253402300799999999n],
    ['0099-03-01T00:00:00Z', -59037897600000000n],
    ['2024-02-29T00:00:00Z', 1709164800000000],
  ] as const
  for (const [text, micros] of cases) assert.equal(parseRfc3339(text), micros, text)
})

test('an invalid time is refused, naming the invalid part', () => {
  const cases = [
    ['2026-11-21T23:59:60Z', /leap second/],
    ['2026-02-29T00:00:00Z', /day 29/],
    ['2100-02-29T00:00:00Z', /day 29/],
    ['2026-04-31T00:00:00Z', /day 31/],
    ['2026-13-01T00:00:00Z', /month 13/],
    ['2026-00-01T00:00:00Z', /month 0/],
    ['2026-11-21T24:00:00Z', /hour 24/],
    ['2026-11-21T09:60:00Z', /minute 60/],
    ['2026-11-21T09:30:61Z', /second 61/],
    ['2026-11-21T09:30:00+24:00', /offset/],
    ['0000-06-01T00:00:00Z', /years 1 to 9999/],
    ['0001-01-01T00:00:00+01:00', /years 1 to 9999/],
    ['9999-12-31T23:59:59-00:01', /years 1 to 9999/],
    ['2026-11-21', /RFC 3339/],
    ['2026-11-21T09:30:00', /RFC 3339/],
    ['2026-11-21 09:30:00Z', /RFC 3339/],
    ['2026-11-21T09:30:00.Z', /RFC 3339/],
    ['1795253400', /RFC 3339/],
    ['', /RFC 3339/],
  ] as const
  for (const [text, problem] of cases) assert.match(String(parseRfc3339(text)), problem, text)
})

test('a formatted time parses to the same value', () => {
  const micros = fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n })
  fc.assert(
    fc.property(micros, (value) => {
      const parsed = parseRfc3339(formatRfc3339(value))
      assert.equal(BigInt(parsed), value)
      assert.equal(formatRfc3339(parsed as Micros), formatRfc3339(value))
    }),
  )
})
