import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { crc32c } from './crc32c.ts'

test('crc32c gives the CRC-32C check value and the examples of RFC 3720', () => {
  assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe3069283)
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa)
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e)
  assert.equal(crc32c(new Uint8Array(0)), 0)
})

test('the CRC of any range equals that of a bit-by-bit calculation', () => {
  const bitByBit = (bytes: Uint8Array) => {
    let crc = -1
    for (const byte of bytes) {
      crc ^= byte
      for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    }
    return ~crc >>> 0
  }
  const bytes = Uint8Array.from({ length: 6000 }, (_, index) => (index * 2654435761) >>> 13)
  fc.assert(
    fc.property(fc.nat(1200), fc.nat(4700), (start, length) => {
      const view = new Uint8Array(bytes.buffer, 7, bytes.length - 7)
      assert.equal(crc32c(view, start, start + length), bitByBit(view.subarray(start, start + length)))
    }),
    { numRuns: 300 },
  )
})
