import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { MillraceError } from '../errors.ts'
import { EventSchema, RecordBatchSchema } from '../gen/millrace/v1/event_pb.ts'
import { PublishRequestSchema } from '../gen/millrace/v1/ingest_pb.ts'
import { MessageScanner } from './message-scan.ts'
import { type EventParts, encodeBatch } from './record-batch.ts'

const json = (text: string) => new TextEncoder().encode(text)

/** The only rejection of a message with this event between two valid ones. */
function refusalOf(event: EventParts): string {
  const good = { type: 'good', id: 'a' }
  const scan = new MessageScanner().scan(encodeBatch([good, event, good]))
  assert.equal(scan.count, 3)
  assert.equal(scan.refusals.length, 1, JSON.stringify(scan.refusals))
  assert.equal(scan.refusals[0]?.index, 1)
  return `${scan.refusals[0]?.code}: ${scan.refusals[0]?.message}`
}

function accepts(event: EventParts): void {
  assert.deepEqual(new MessageScanner().scan(encodeBatch([event])).refusals, [])
}

test('an invalid event is rejected with its field and rule; the other events of its message are not', () => {
  assert.match(refusalOf({ type: '' }), /^invalid_event: type is empty/)
  assert.match(refusalOf({ type: 'x'.repeat(256) }), /type has 256 bytes; the limit is 255/)
  assert.match(refusalOf({ type: 'é'.repeat(128) }), /type has 256 bytes/)
  assert.match(refusalOf({ type: 't', id: 'x'.repeat(256) }), /id has 256 bytes/)
  assert.match(refusalOf({ type: 't', source: 'a\0b' }), /source has a NUL character/)
  assert.match(refusalOf({ type: 't', subject: 's'.repeat(1025) }), /subject has 1025 bytes; the limit is 1024/)
  assert.match(refusalOf({ type: 't', key: 'k'.repeat(1025) }), /key has 1025 bytes; the limit is 1024/)
  assert.match(refusalOf({ type: 't', timeMicros: 1e18 }), /time is not in the years 1 to 9999/)
  assert.match(refusalOf({ type: 't', data: json('{"a":') }), /data is not valid JSON \(at byte 5\)/)
  assert.match(refusalOf({ type: 't', data: json('"\\u0000"') }), /data has the escape \\u0000/)
  assert.match(refusalOf({ type: 't', data: json('['.repeat(65) + ']'.repeat(65)) }), /deeper than 64 levels/)
  for (const long of ['1e400', '-1e131000', '1E-400', '0.1e-400', `1${'0'.repeat(400)}`, `[1, 1e${'9'.repeat(40)}]`]) {
    const problem = /^invalid_event: data has a number that takes more than 400 digits written out \(at byte \d+\)/
    assert.match(refusalOf({ type: 't', data: json(long) }), problem, long)
  }
  assert.match(
    refusalOf({ type: 't', data: json(`[${'1e399,'.repeat(2700)}0]`) }),
    /numbers that, written out, take more than 1048576 bytes beyond what was sent \(at byte 159\d\d\)/,
  )
  assert.match(refusalOf({ type: 't', data: new Uint8Array(1024 * 1024) }), /^event_too_large: .*limit is 1048576/)
  const many = Array.from({ length: 65 }, (_, index) => [`name${index}`, 'v'] as const)
  assert.match(refusalOf({ type: 't', attributes: many }), /attributes has 65 entries; the limit is 64/)
  assert.match(refusalOf({ type: 't', attributes: [['a', 'v'.repeat(1025)]] }), /attributes has a value that has 1025/)
  assert.match(refusalOf({ type: 't', attributes: [['', 'v']] }), /an entry without a name/)
})

test('events exactly at the limits are accepted', () => {
  accepts({ type: 'x'.repeat(255), id: 'x'.repeat(255), source: '€'.repeat(85), key: 'k'.repeat(1024) })
  accepts({ type: 't', attributes: Array.from({ length: 64 }, (_, index) => [`n${index}`, 'v'.repeat(1024)] as const) })
  accepts({ type: 't', data: json('['.repeat(64) + ']'.repeat(64)) })
  accepts({ type: 't', data: json('[1e399,-1.5e-398,1.7976931348623157e308,5e-324]') })
  accepts({ type: 't', data: json(`[${'1e399,'.repeat(2600)}0]`) })
  accepts({ type: 't', data: json('1e400'), dataContentType: 'text/plain' })
  accepts({ type: 't', data: Uint8Array.from([0, 255, 0xc0]), dataContentType: 'application/octet-stream' })
  accepts({ type: '__proto__', key: '{a}{b}', attributes: [['__proto__', 'constructor']] })
})

test('data is checked as JSON according to its content type, whatever the case and the parameters', () => {
  const broken = json('{')
  assert.match(refusalOf({ type: 't', data: broken, dataContentType: 'Application/JSON; charset=utf-8' }), /JSON/)
  assert.match(refusalOf({ type: 't', data: broken, dataContentType: 'application/vnd.a+json' }), /JSON/)
  accepts({ type: 't', data: broken, dataContentType: 'text/plain' })
  const marked = json('\ufeff{}')
  assert.match(refusalOf({ type: 't', data: marked }), /data begins with a byte order mark: leave it out/)
  accepts({ type: 't', data: marked, dataContentType: 'text/plain' })
})

test('bytes that are not UTF-8 and unknown priorities are rejected', () => {
  const badType = Uint8Array.from([0x0a, 0x04, 0x1a, 0x02, 0xc0, 0xa0])
  assert.match(new MessageScanner().scan(badType).refusals[0]!.message, /type is not valid UTF-8/)
  const event = toBinary(EventSchema, create(EventSchema, { type: 't', priority: 7 as never }))
  const message = Uint8Array.from([0x0a, event.length, ...event])
  assert.match(new MessageScanner().scan(message).refusals[0]!.message, /priority is unknown/)
})

test('a malformed event is rejected alone; a malformed message as a whole', () => {
  const good = encodeBatch([{ type: 't', id: 'a' }])
  const brokenEvent = Uint8Array.from([0x0a, 0x02, 0x1a, 0x05])
  const scan = new MessageScanner().scan(Uint8Array.from([...good, ...brokenEvent, ...good]))
  assert.deepEqual(
    scan.refusals.map(({ index, message }) => [index, message]),
    [[1, 'the event is not a valid protobuf message']],
  )
  for (const broken of [[0x0a, 0x05, 0x1a], [0x0a], [0x0b, 0x0c], [0x00, 0x00], [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff]]) {
    assert.throws(() => new MessageScanner().scan(Uint8Array.from(broken)), /not a valid protobuf message/, `${broken}`)
  }
})

test('a message with too many events or too many bytes is rejected as a whole, with the limit', () => {
  const one = encodeBatch([{ type: 't' }])
  const tooMany = Buffer.concat(Array.from({ length: 100_001 }, () => one))
  assert.throws(() => new MessageScanner().scan(tooMany), { code: 'too_many_events', message: /more than 100000/ })
  assert.equal(new MessageScanner().scan(tooMany.subarray(one.length)).count, 100_000)
  assert.throws(() => new MessageScanner().scan(new Uint8Array(4 * 1024 * 1024 + 1)), { code: 'message_too_large' })
})

test('other fields of the request are skipped, wherever they stand', () => {
  const request = create(PublishRequestSchema, { events: [{ type: 'a', id: '1' }], topic: 'orders', overflow: 3 })
  const bytes = toBinary(PublishRequestSchema, request)
  const scan = new MessageScanner().scan(bytes)
  assert.equal(scan.count, 1)
  assert.deepEqual(Buffer.from(bytes.subarray(scan.starts[0], scan.ends[0])), encodeBatch([{ id: '1', type: 'a' }]))
  const twice = new MessageScanner().scan(Uint8Array.from([...bytes, ...bytes]))
  assert.equal(twice.count, 2)
  assert.equal(twice.contiguous, false)
})

test('any bytes give a result or a MillraceError, and the scanner stays usable', () => {
  const scanner = new MessageScanner()
  const seed = encodeBatch([{ type: 'a', id: 'b', timeMicros: 5, data: json('{"a":[1]}'), attributes: [['n', 'v']] }])
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 4 }), fc.nat(), (edits, cut) => {
      const bytes = Uint8Array.from(seed)
      for (const [place, byte] of edits) bytes[place] = byte
      try {
        scanner.scan(bytes.subarray(0, bytes.length - (cut % 3)))
      } catch (error) {
        assert.ok(error instanceof MillraceError)
      }
    }),
    { numRuns: 3000 },
  )
  assert.equal(
    scanner.scan(toBinary(RecordBatchSchema, create(RecordBatchSchema, { events: [{ type: 'z' }] }))).count,
    1,
  )
})
