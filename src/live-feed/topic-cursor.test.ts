import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MillraceError } from '../errors.ts'
import { decodeCursor, encodeCursor } from './topic-cursor.ts'

const offset = fc.oneof(fc.nat(200), fc.maxSafeNat())

test('a cursor is read as it was written, without the zeros at its end', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.array(offset, { maxLength: 100 }), (epoch, offsets) => {
      const { offsets: read, ...rest } = decodeCursor('orders', encodeCursor('orders', { epoch, offsets }))
      assert.deepEqual(rest, { epoch })
      assert.ok(read.length === 0 || read.at(-1) !== 0)
      assert.deepEqual([...read, ...new Array(offsets.length - read.length).fill(0)], offsets)
    }),
  )
})

test('a token is URL-safe, and short for 16 partitions of a million events each', () => {
  const token = encodeCursor('orders', { epoch: 3, offsets: new Array(48).fill(1_000_000) })
  assert.match(token, /^[A-Za-z0-9_-]+$/)
  assert.ok(token.length < 256)
})

test('what is not a whole cursor of the topic is refused, never read as another place', () => {
  const refusal = { code: 'invalid_event', field: 'from' }
  const token = encodeCursor('orders', { epoch: 3, offsets: [1, 300, 70_000] })
  for (const text of [
    '',
    'A',
    token.slice(0, 6),
    `${token}=`,
    `${token} `,
    ` ${token}`,
    `${token}.`,
    `B${token.slice(1)}`,
  ])
    assert.throws(() => decodeCursor('orders', text), refusal, text)
  for (let length = 0; length < token.length; length++)
    assert.throws(() => decodeCursor('orders', token.slice(0, length)), refusal, `${length}`)
  assert.throws(() => decodeCursor('other', token), { ...refusal, message: /another topic/ })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const prefix = Buffer.from(token, 'base64url').subarray(0, 5)
      try {
        decodeCursor('orders', Buffer.concat([prefix, bytes]).toString('base64url'))
      } catch (thrown) {
        assert.ok(thrown instanceof MillraceError && thrown.field === 'from')
      }
    }),
  )
})
