import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchOfOne, receivedAtOf, withAttribute, withData, withoutReceivedAt, withReceivedAt } from './event-edit.ts'
import { decodeBatch, encodeBatch } from './record-batch.ts'

const whole = {
  id: 'a',
  source: '/s',
  type: 't',
  subject: 'x',
  timeMicros: 5,
  data: Buffer.from('{"n": 1}'),
  dataContentType: 'application/json',
  lane: 'high',
  key: 'k',
  attributes: [
    ['a', '1'],
    ['b', '2'],
  ],
} as const
/** Contains a field that this version does not know. */
const event = Buffer.concat([encodeBatch([whole]).subarray(2), Buffer.from([0xf8, 0x01, 0x07])])
const decoded = (bytes: Uint8Array) => decodeBatch(batchOfOne(bytes))[0]!
const before = decoded(event)

test('withData replaces the data and changes nothing else', () => {
  const edited = withData(event, Buffer.from('[]'))
  assert.deepEqual(decoded(edited), { ...before, data: Buffer.from('[]') })
  const bytes = Buffer.from(edited)
  assert.ok(bytes.includes(Buffer.from([0xf8, 0x01, 0x07])) && !bytes.includes('"n"'))
  assert.equal(decoded(withData(event, Buffer.from('x'), 'text/plain')).dataContentType, 'text/plain')
  assert.equal(decoded(withData(event, new Uint8Array(0))).data.length, 0)
})

test('withAttribute replaces the attribute of the same name', () => {
  assert.deepEqual(
    [...decoded(withAttribute(event, 'a', '3')).attributes],
    [
      ['b', '2'],
      ['a', '3'],
    ],
  )
  assert.deepEqual([...decoded(withAttribute(event, 'c', '3')).attributes].at(-1), ['c', '3'])
})

test('the time of receipt can be set, read and removed', () => {
  assert.equal(receivedAtOf(event), null)
  const micros = Date.UTC(2026, 0, 1) * 1000 + 7
  const received = withReceivedAt(withReceivedAt(event, 1), micros)
  assert.equal(receivedAtOf(received), micros)
  assert.deepEqual(decoded(received), before)
  assert.deepEqual(withoutReceivedAt(received), event)
})

test('bytes that are not an event are rejected', () => {
  assert.throws(() => withoutReceivedAt(Buffer.from([0x0a, 5, 1])), /not a valid protobuf/)
})
