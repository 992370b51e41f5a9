import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TextCache } from './text-cache.ts'

test('textOf returns the decoded bytes, however many other texts were cached before', () => {
  const cache = new TextCache()
  const text = fc.oneof(fc.string({ maxLength: 3, unit: 'binary' }), fc.string({ maxLength: 80, unit: 'grapheme' }))
  fc.assert(
    fc.property(fc.array(text, { minLength: 1, maxLength: 40 }), (texts) => {
      for (const wanted of [...texts, ...texts]) {
        const bytes = Buffer.from(`<${wanted}>`)
        assert.equal(cache.textOf(bytes, 1, bytes.length - 1), bytes.toString('utf8', 1, bytes.length - 1))
      }
    }),
    { numRuns: 100 },
  )
})

test('a repeated text returns the cached string, not a new one', () => {
  const cache = new TextCache()
  const bytes = Buffer.from('order.paid order.paid')
  let decoded = 0
  bytes.toString = (...range) => {
    decoded++
    return Buffer.prototype.toString.apply(bytes, range)
  }

  assert.equal(cache.textOf(bytes, 0, 10), 'order.paid')
  assert.equal(cache.textOf(bytes, 11, 21), 'order.paid')
  assert.equal(decoded, 1)
})
