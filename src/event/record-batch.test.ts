import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import fc from 'fast-check'
import { RecordBatchSchema } from '../gen/millrace/v1/event_pb.ts'
import { type Lane, lanes, priorityOfLane } from './event.ts'
import { decodeBatch, type EventParts, EventReader, encodeBatch } from './record-batch.ts'

const text = (maxLength: number) => fc.string({ unit: 'binary', maxLength }).map((value) => value.toWellFormed())

const eventParts: fc.Arbitrary<EventParts> = fc.record({
  id: text(60),
  source: text(60),
  type: text(300),
  subject: text(60),
  timeMicros: fc.option(
    fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n }).map((micros) => {
      return Number.isSafeInteger(Number(micros)) ? Number(micros) : micros
    }),
  ),
  data: fc.uint8Array({ maxLength: 400 }),
  dataContentType: text(60),
  lane: fc.constantFrom<Lane>(...lanes),
  key: text(60),
  attributes: fc.dictionary(text(10), text(10), { maxKeys: 4, noNullPrototype: false }).map((object) => {
    return Object.entries(object)
  }),
})

test('protobuf-es and our reader decode the bytes of the builder to the same events', () => {
  fc.assert(
    fc.property(fc.array(eventParts, { maxLength: 5 }), (events) => {
      const bytes = encodeBatch(events)
      const byProtobuf = fromBinary(RecordBatchSchema, bytes).events
      const byReader = decodeBatch(bytes)
      assert.equal(byProtobuf.length, events.length)
      assert.equal(byReader.length, events.length)
      for (const [index, event] of events.entries()) {
        const reference = byProtobuf[index]!
        const read = byReader[index]!
        for (const field of ['id', 'source', 'type', 'subject', 'dataContentType', 'key'] as const) {
          assert.equal(reference[field], event[field])
          assert.equal(read[field], event[field])
        }
        assert.equal(reference.priority, priorityOfLane[event.lane!])
        assert.equal(read.lane, event.lane)
        assert.deepEqual(Buffer.from(read.data), Buffer.from(event.data!))
        assert.deepEqual(Buffer.from(reference.data), Buffer.from(event.data!))
        assert.deepEqual(new Map(Object.entries(reference.attributes)), new Map(event.attributes))
        assert.deepEqual(read.attributes, new Map(event.attributes))
        assert.equal(read.timeMicros, event.timeMicros)
        const time = reference.time
        const referenceMicros = time === undefined ? null : time.seconds * 1_000_000n + BigInt(time.nanos / 1000)
        assert.equal(referenceMicros, event.timeMicros === null ? null : BigInt(event.timeMicros!))
      }
    }),
    { numRuns: 300 },
  )
})

test('batches are joined by concatenating their bytes and split by slicing them', () => {
  fc.assert(
    fc.property(fc.array(eventParts, { minLength: 1, maxLength: 6 }), fc.nat(), (events, place) => {
      const cut = place % (events.length + 1)
      const whole = encodeBatch(events)
      const joined = Buffer.concat([encodeBatch(events.slice(0, cut)), encodeBatch(events.slice(cut))])
      assert.deepEqual(joined, Buffer.from(whole))
      const reader = new EventReader().reset(whole)
      for (let index = 0; index < cut; index++) reader.next()
      const start = cut === 0 ? 0 : reader.fields.end
      assert.deepEqual(decodeBatch(whole.subarray(start)), decodeBatch(encodeBatch(events.slice(cut))))
    }),
    { numRuns: 100 },
  )
})

test('unknown fields are skipped, wherever they stand', () => {
  const event = encodeBatch([{ type: 'a', id: 'b' }])
  const unknown = [
    0x98, 0x06, 0x01, 0xa2, 0x06, 0x02, 0x08, 0x01, 0xad, 0x06, 1, 2, 3, 4, 0xb1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8,
  ]
  const grown = Uint8Array.from([event[0]!, event[1]! + unknown.length, ...unknown, ...event.subarray(2)])
  assert.equal(decodeBatch(grown)[0]?.type, 'a')
  assert.equal(decodeBatch(Uint8Array.from([...unknown, ...event]))[0]?.id, 'b')
})

test('a batch encoded by protobuf-es is read', () => {
  const time = timestampFromMs(1_700_000_000_123)
  const bytes = toBinary(RecordBatchSchema, create(RecordBatchSchema, { events: [{ type: 't', time, key: 'k' }] }))
  assert.equal(decodeBatch(bytes)[0]?.timeMicros, 1_700_000_000_123_000)
})
