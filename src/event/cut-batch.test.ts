import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { cutBatch } from './cut-batch.ts'
import { decodeBatch, encodeBatch } from './record-batch.ts'

test('the parts of a batch have all its events in order, and no more than the limit', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 25 }),
      (types, max) => {
        const bytes = encodeBatch(types.map((type) => ({ type, data: Buffer.from('{}') })))
        const parts = cutBatch({ bytes, count: types.length, receivedAtMicros: 7 }, max)
        assert.deepEqual(
          parts.map(({ count }) => count),
          Array.from({ length: Math.ceil(types.length / max) }, (_, part) => Math.min(max, types.length - part * max)),
        )
        assert.deepEqual(
          parts.map(({ count, bytes: own }) => [decodeBatch(own).length, count]),
          parts.map(({ count }) => [count, count]),
        )
        assert.deepEqual(Buffer.concat(parts.map(({ bytes: own }) => own)), Buffer.from(bytes))
        assert.ok(parts.every(({ receivedAtMicros }) => receivedAtMicros === 7))
      },
    ),
  )
})
