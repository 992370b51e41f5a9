import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { MillraceError } from '../../errors.ts'
import { Overflow, ProduceRequestSchema } from '../../gen/millrace/v1/ingest_pb.ts'
import { ofOverflow } from '../../wire/publish.ts'
import { MessageFields } from './message-fields.ts'

const topics = ['events', 'orders', 'order.paid', 'a', 'a'.repeat(64), '']
const requests = fc.record({
  topic: fc.constantFrom(...topics),
  overflow: fc.constantFrom(Overflow.UNSPECIFIED, Overflow.REJECT, Overflow.DROP, Overflow.WAIT),
  producerId: fc.constantFrom('', 'p', 'producer-1', 'größe'),
  producerEpoch: fc.bigInt(0n, 2n ** 53n - 1n),
  sequence: fc.bigInt(0n, 2n ** 53n - 1n),
  events: fc.array(fc.record({ type: fc.string(), data: fc.uint8Array() }), { maxLength: 5 }),
})

test('the fields read from consecutive messages are those that were encoded', () => {
  fc.assert(
    fc.property(fc.array(requests, { maxLength: 6 }), (messages) => {
      const fields = new MessageFields()
      for (const message of messages) {
        fields.read(toBinary(ProduceRequestSchema, create(ProduceRequestSchema, message)))
        assert.deepEqual(
          [fields.topic, fields.overflow, fields.producerId, fields.producerEpoch, fields.sequence, fields.events],
          [
            message.topic || 'events',
            ofOverflow(message.overflow),
            message.producerId,
            Number(message.producerEpoch),
            Number(message.sequence),
            message.events.length,
          ],
        )
      }
    }),
  )
})

test('fields may come in any order and repeatedly, the last one counts; unknown fields are ignored', () => {
  const message = Buffer.from([
    ...[0x28, 0x07], // sequence 7
    ...[0x12, 0x01, 0x61], // topic "a"
    ...[0x9a, 0x06, 0x02, 0x01, 0x02], // unknown field 99
    ...[0x0a, 0x00], // an event
    ...[0x12, 0x01, 0x62], // topic "b"
    ...[0x0a, 0x00], // an event
    ...[0x1d, 0, 0, 0, 0], // overflow with a wrong wire type
  ])

  const { topic, overflow, sequence, events } = new MessageFields().read(message)

  assert.deepEqual([topic, overflow, sequence, events], ['b', 'reject', 7, 2])
})

test('bytes that are not a message are refused', () => {
  for (const bytes of [[0x0a], [0x0a, 5, 1], [0x0b], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0x00, 0x01]]) {
    assert.throws(() => new MessageFields().read(Buffer.from(bytes)), MillraceError)
  }
})
