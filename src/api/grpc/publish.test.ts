import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Metadata } from '@grpc/grpc-js'
import { MillraceError } from '../../errors.ts'
import { Durability, Overflow } from '../../gen/millrace/v1/ingest_pb.ts'
import { grpcStatus } from '../status.ts'
import { detailsOf, failureOf, publish, publishMessage, startTestServer } from './grpc-client.test-support.ts'

const good = { type: 'order.created', data: Buffer.from('{"total":1}') }
const bad = { type: '' }

test('a published event reaches the pipeline with the bytes that were sent', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  const message = publishMessage({ events: [good], topic: 'orders', overflow: Overflow.DROP })

  const response = await publish(client, message)

  assert.equal(response.accepted, 1n)
  assert.equal(response.durability, Durability.DISK)
  const [call] = pipeline.calls
  assert.equal(call?.message.topic, 'orders')
  assert.equal(call?.message.overflow, 'drop')
  assert.deepEqual(Buffer.from(call!.message.message), message)
  assert.equal(pipeline.events[0]?.type, 'order.created')
})

test('a bad event is rejected by its index and its neighbours are accepted', async (t) => {
  const { client } = await startTestServer(t)

  const response = await publish(client, publishMessage({ events: [good, bad, good] }))

  assert.equal(response.accepted, 2n)
  const [rejection] = response.rejections
  assert.equal(rejection?.index, 1n)
  assert.equal(rejection?.code, 'invalid_event')
  assert.match(rejection?.message ?? '', /^type /)
})

test('a call without an accepted event fails with the status of its first rejection and names the fields', async (t) => {
  const { client } = await startTestServer(t)

  const error = await failureOf(publish(client, publishMessage({ events: [bad, { ...good, data: Buffer.from('{') }] })))

  assert.equal(error.code, grpcStatus.INVALID_ARGUMENT)
  const { errorInfo, badRequest, retryInfo, status, summary } = detailsOf(error)
  assert.deepEqual([summary?.accepted, summary?.rejected], [0n, 2n])
  assert.equal(errorInfo?.reason, 'INVALID_EVENT')
  assert.equal(errorInfo?.domain, 'millrace')
  assert.deepEqual(
    badRequest?.fieldViolations.map(({ field }) => field),
    ['events[0]', 'events[1]'],
  )
  assert.match(badRequest?.fieldViolations[1]?.description ?? '', /^data is not valid JSON/)
  assert.equal(retryInfo, undefined)
  assert.equal(status.message, error.details)
})

test('a call refused for lack of room has a retry hint, even if another event of it is invalid', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.makeRoom(0)

  const error = await failureOf(publish(client, publishMessage({ events: [bad, good] })))

  assert.equal(error.code, grpcStatus.RESOURCE_EXHAUSTED)
  const { errorInfo, retryInfo, pushback } = detailsOf(error)
  assert.equal(errorInfo?.reason, 'BACKLOGGED')
  assert.deepEqual([retryInfo?.retryDelay?.seconds, retryInfo?.retryDelay?.nanos], [1n, 500_000_000])
  assert.equal(pushback, '1500')
})

test('with overflow DROP events without room are counted and the call succeeds', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.makeRoom(1)

  const response = await publish(client, publishMessage({ events: [good, good, good], overflow: Overflow.DROP }))

  assert.deepEqual([response.accepted, response.dropped, response.rejections.length], [1n, 2n, 0])
})

test('with overflow WAIT the call waits for room, but not beyond its deadline', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.makeRoom(0)
  const message = publishMessage({ events: [good], overflow: Overflow.WAIT })

  const waiting = publish(client, message)
  const refused = await failureOf(publish(client, message, { deadline: Date.now() + 300 }))
  pipeline.makeRoom(10)

  assert.equal(refused.code, grpcStatus.RESOURCE_EXHAUSTED)
  assert.equal((await waiting).accepted, 1n)
  const [unbounded, bounded] = pipeline.calls.map(({ options }) => options?.maxWaitMs ?? Number.NaN)
  assert.equal(unbounded, 10_000)
  assert.ok(bounded !== undefined && bounded <= 250, `waits ${bounded} ms`)
})

test('a message without events succeeds and accepts nothing', async (t) => {
  const { client } = await startTestServer(t)

  const response = await publish(client, Buffer.alloc(0))

  assert.deepEqual([response.accepted, response.rejections.length], [0n, 0])
})

const wholeMessageFaults: readonly (readonly [
  string,
  Parameters<typeof publishMessage>[0],
  keyof typeof grpcStatus,
  string,
  string,
])[] = [
  ['a topic that is not declared', { topic: 'nowhere', events: [good] }, 'NOT_FOUND', 'NOT_FOUND', 'topic'],
  [
    'a topic with invalid characters',
    { topic: 'Straße', events: [good] },
    'INVALID_ARGUMENT',
    'INVALID_EVENT',
    'topic',
  ],
  ['an unknown overflow', { overflow: 9 as Overflow, events: [good] }, 'INVALID_ARGUMENT', 'INVALID_EVENT', 'overflow'],
]

for (const [what, init, status, reason, field] of wholeMessageFaults) {
  test(`${what} is refused with ${status}`, async (t) => {
    const { client } = await startTestServer(t)

    const error = await failureOf(publish(client, publishMessage(init)))

    assert.equal(error.code, grpcStatus[status])
    const { errorInfo, badRequest } = detailsOf(error)
    assert.equal(errorInfo?.reason, reason)
    assert.equal(badRequest?.fieldViolations[0]?.field, field)
  })
}

test('100,001 events in one message are refused and the connection stays open', async (t) => {
  const { client } = await startTestServer(t)

  const error = await failureOf(publish(client, Buffer.alloc(2 * 100_001).fill(Buffer.from([0x0a, 0]))))

  assert.equal(error.code, grpcStatus.INVALID_ARGUMENT)
  assert.equal(detailsOf(error).errorInfo?.reason, 'TOO_MANY_EVENTS')
  assert.match(error.details, /100000/)
  assert.equal((await publish(client, publishMessage({ events: [good] }))).accepted, 1n)
})

test('an event of 2 MiB is refused, naming the limit; a message over 4 MiB is refused without a retry hint', async (t) => {
  const { client } = await startTestServer(t)
  const large = (bytes: number) => ({ ...good, data: Buffer.from(`"${'x'.repeat(bytes)}"`) })

  const tooLarge = await failureOf(publish(client, publishMessage({ events: [large(2 * 1024 * 1024)] })))
  const message = await failureOf(publish(client, publishMessage({ events: [large(4 * 1024 * 1024)] })))

  assert.equal(tooLarge.code, grpcStatus.INVALID_ARGUMENT)
  assert.equal(detailsOf(tooLarge).errorInfo?.reason, 'EVENT_TOO_LARGE')
  assert.match(tooLarge.details, /1048576/)
  assert.equal(message.code, grpcStatus.RESOURCE_EXHAUSTED)
  assert.deepEqual(message.metadata.get('grpc-retry-pushback-ms'), [])
  assert.equal((await publish(client, publishMessage({ events: [good] }))).accepted, 1n)
})

test('fault I9: broken and deeply nested protobuf is refused and the connection stays open', async (t) => {
  const { client } = await startTestServer(t)
  const nested = (depth: number) => {
    let inner = Buffer.alloc(0)
    for (let level = 0; level < depth; level++) {
      const length = inner.length
      const size: number[] = []
      for (let rest = length; ; rest >>>= 7) {
        size.push(rest >= 0x80 ? (rest & 0x7f) | 0x80 : rest)
        if (rest < 0x80) break
      }
      inner = Buffer.concat([Buffer.from([0x0a, ...size]), inner])
    }
    return inner
  }

  for (const bytes of [Buffer.from([0x0a, 0x05, 1]), Buffer.from('not protobuf at all'), nested(101), nested(1000)]) {
    assert.equal((await failureOf(publish(client, bytes))).code, grpcStatus.INVALID_ARGUMENT)
  }
  // Only groups could recurse without limit: 100,000 open groups.
  const groups = await failureOf(publish(client, Buffer.alloc(100_000, 0x0b)))
  assert.equal(groups.code, grpcStatus.INVALID_ARGUMENT)
  assert.equal((await publish(client, publishMessage({ events: [good] }))).accepted, 1n)
})

test('fault I11: a map key __proto__ is kept as an attribute and changes no object', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  const attributes = Object.fromEntries([['__proto__', 'x']])
  Object.defineProperty(attributes, '__proto__', { value: 'admin', enumerable: true })

  await publish(client, publishMessage({ events: [{ ...good, attributes }] }))

  assert.equal(pipeline.events[0]?.attributes.get('__proto__'), 'admin')
  assert.equal(({} as { admin?: unknown }).admin, undefined)
})

test('an unknown outcome is UNAVAILABLE', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.failure = new MillraceError('unavailable', 'the log is unreachable', { retryAfterMs: 250 })

  const error = await failureOf(publish(client, publishMessage({ events: [good] })))

  assert.equal(error.code, grpcStatus.UNAVAILABLE)
  assert.equal(detailsOf(error).pushback, '250')
})

test('the details of an internal error are logged but not sent to the caller', async (t) => {
  const { client, pipeline, log } = await startTestServer(t)
  pipeline.failure = new TypeError('secret detail') as unknown as MillraceError
  const metadata = new Metadata()
  metadata.set('x-request-id', 'order-7')
  metadata.set('traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')

  const error = await failureOf(publish(client, publishMessage({ events: [good] }), { metadata }))

  assert.equal(error.code, grpcStatus.INTERNAL)
  assert.deepEqual(error.metadata.get('x-request-id'), ['order-7'])
  assert.doesNotMatch(error.message + JSON.stringify(error.metadata), /secret|TypeError|\.ts/)
  const line = log.lines.find(({ message }) => message === 'call failed')
  assert.equal(line?.level, 'error')
  assert.equal(line?.request_id, 'order-7')
  assert.equal(line?.trace_id, '0af7651916cd43dd8448eb211c80319c')
  assert.match(JSON.stringify(line?.error), /secret detail/)
})

test('error details stay small and well formed for any message', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.failure = new MillraceError('invalid_event', `\ud800${'ü'.repeat(20_000)}`, { field: 'ü'.repeat(20_000) })

  const error = await failureOf(publish(client, publishMessage({ events: [good] })))

  assert.equal(error.code, grpcStatus.INVALID_ARGUMENT)
  assert.ok(detailsOf(error).byteLength < 4096)
  assert.equal(detailsOf(error).errorInfo?.reason, 'INVALID_EVENT')
})

test('100,000 rejections fit in one answer that a stock client accepts', async (t) => {
  const { client } = await startTestServer(t)
  const events = [good, ...Array.from({ length: 99_999 }, () => bad)]

  const response = await publish(client, publishMessage({ events }))

  assert.equal(response.accepted, 1n)
  assert.equal(response.rejections.length, 99_999)
  assert.equal(response.rejections.at(-1)?.code, 'invalid_event')
  assert.match(response.rejections[0]?.message ?? '', /type/)
})
