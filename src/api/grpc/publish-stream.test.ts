import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientWritableStream } from '@grpc/grpc-js'
import { MillraceError } from '../../errors.ts'
import { Durability, Overflow, PublishStreamStatus } from '../../gen/millrace/v1/ingest_pb.ts'
import { eventually, settled } from '../eventually.test-support.ts'
import { grpcStatus } from '../status.ts'
import { detailsOf, failureOf, openPublishStream, publishMessage, startTestServer } from './grpc-client.test-support.ts'

const good = { type: 'order.created', data: Buffer.from('{"total":1}') }
const bad = { type: '' }

test('the summary counts events, and rejections have their index in the call', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  const { call, summary } = openPublishStream(client)

  call.write(publishMessage({ events: [good] }))
  call.write(publishMessage({ events: [good, bad, good] }))
  call.write(publishMessage({ events: [], topic: 'orders' }))
  call.write(publishMessage({ events: [bad, good], topic: 'orders' }))
  call.end()
  const response = await summary

  assert.deepEqual([response.received, response.accepted, response.dropped, response.rejected], [6n, 4n, 0n, 2n])
  assert.deepEqual(
    response.rejections.map(({ index }) => index),
    [2n, 4n],
  )
  assert.equal(response.status, PublishStreamStatus.SOME_REFUSED)
  assert.equal(response.durability, Durability.DISK)
  assert.deepEqual(
    pipeline.events.map(({ topic }) => topic),
    ['events', 'events', 'events', 'orders'],
  )
})

test('the status tells whether all events were accepted, or none', async (t) => {
  const { client } = await startTestServer(t)
  const finish = async (events: object[]) => {
    const { call, summary } = openPublishStream(client)
    if (events.length > 0) call.write(publishMessage({ events }))
    call.end()
    return (await summary).status
  }

  assert.equal(await finish([good]), PublishStreamStatus.ALL_ACCEPTED)
  assert.equal(await finish([]), PublishStreamStatus.ALL_ACCEPTED)
  assert.equal(await finish([bad]), PublishStreamStatus.NONE_ACCEPTED)
})

test('received = accepted + dropped + rejected, with more rejections than are listed', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.makeRoom(10)
  const { call, summary } = openPublishStream(client)

  for (let message = 0; message < 30; message++) {
    const overflow = message % 3 === 0 ? Overflow.DROP : Overflow.REJECT
    call.write(publishMessage({ events: Array.from({ length: 100 }, () => good), overflow }))
  }
  call.end()
  const response = await summary

  assert.deepEqual([response.received, response.accepted, response.dropped], [3000n, 10n, 990n])
  assert.equal(response.rejected, 2000n)
  assert.equal(response.rejections.length, 1000)
  assert.deepEqual([response.rejections[0]?.index, response.rejections[999]?.index], [100n, 1499n])
  assert.equal(response.rejections[0]?.code, 'backlogged')
  assert.equal(response.rejections[0]?.retryAfter?.seconds, 1n)
})

test('a message that is refused as a whole counts as rejected, and its neighbours are accepted', async (t) => {
  const { client } = await startTestServer(t)
  const { call, summary } = openPublishStream(client)

  call.write(publishMessage({ events: [good] }))
  call.write(publishMessage({ events: [good, good], topic: 'nowhere' }))
  call.write(publishMessage({ events: [good] }))
  call.end()
  const response = await summary

  assert.deepEqual([response.accepted, response.rejected], [2n, 2n])
  assert.deepEqual(
    response.rejections.map(({ index, count, code }) => [index, count, code]),
    [[1n, 2, 'not_found']],
  )
})

test('an unreadable message ends the stream with INVALID_ARGUMENT', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  const { call, summary } = openPublishStream(client)

  call.write(publishMessage({ events: [good] }))
  call.write(Buffer.from([0x0a, 0x7f, 1]))
  const error = await failureOf(summary)

  assert.equal(error.code, grpcStatus.INVALID_ARGUMENT)
  assert.equal(detailsOf(error).errorInfo?.reason, 'INVALID_EVENT')
  assert.equal(pipeline.events.length, 1)
})

test('an unknown outcome ends the stream with its status, and the summary counts what was taken beside it', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  const { call, summary } = openPublishStream(client)
  pipeline.hold()

  call.write(publishMessage({ events: [good, bad] }))
  await eventually(() => pipeline.calls.length === 1)
  pipeline.failure = new MillraceError('unavailable', 'the log is unreachable')
  call.write(publishMessage({ events: [good] }))
  await eventually(() => pipeline.calls.length === 2)
  pipeline.failure = null
  call.write(publishMessage({ events: [good, good] }))
  await eventually(() => pipeline.calls.length === 3)
  pipeline.release()
  const error = await failureOf(summary)

  assert.equal(error.code, grpcStatus.UNAVAILABLE)
  const taken = detailsOf(error).summary
  assert.deepEqual([taken?.received, taken?.accepted, taken?.dropped, taken?.rejected], [4n, 3n, 0n, 1n])
  assert.deepEqual(
    taken?.rejections.map(({ index, code }) => [index, code]),
    [[1n, 'invalid_event']],
  )
})

test('a stream that ends with an unknown outcome does not wait for room', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  const { call, summary } = openPublishStream(client)
  const first = Promise.withResolvers<never>()
  const publish = pipeline.publish.bind(pipeline)
  pipeline.publish = () => {
    pipeline.publish = publish
    return first.promise
  }
  pipeline.makeRoom(0)

  call.write(publishMessage({ events: [good] }))
  call.write(publishMessage({ events: [good], overflow: Overflow.WAIT }))
  await eventually(() => pipeline.calls.length === 1)
  first.reject(new MillraceError('unavailable', 'the log is unreachable'))

  assert.equal((await failureOf(summary)).code, grpcStatus.UNAVAILABLE)
})

/** Writes until the server stops reading; returns the number of bytes written. */
async function writeUntilStalled(
  call: ClientWritableStream<Buffer>,
  message: Buffer,
  maxBytes: number,
): Promise<number> {
  let taken = 0
  const write = () => {
    call.write(message, () => {
      taken += message.length
      if (taken < maxBytes) write()
    })
  }
  for (let writer = 0; writer < 4; writer++) write()
  await eventually(() => taken > 11 * 1024 * 1024)
  return settled(() => taken)
}

test('flow control slows a producer while its messages wait for room, and it continues when there is room', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.makeRoom(0)
  const { call, summary } = openPublishStream(client)
  const events = Array.from({ length: 100 }, () => ({ type: 'reading', data: Buffer.from(`"${'x'.repeat(600)}"`) }))
  const message = publishMessage({ events, overflow: Overflow.WAIT })
  const maxBytes = 64 * 1024 * 1024

  const taken = await writeUntilStalled(call, message, maxBytes)

  // 4 MiB that are read and wait, one more message, and the unread window of 12 MiB.
  assert.ok(taken < 17 * 1024 * 1024, `${taken} bytes were taken`)
  const readBytes = pipeline.calls.length * message.length
  assert.ok(readBytes <= 4 * 1024 * 1024 + message.length, `${readBytes} bytes were read`)

  pipeline.makeRoom(Number.POSITIVE_INFINITY)
  const seen = pipeline.calls.length
  await eventually(() => pipeline.calls.length > seen + 50)
  call.cancel()
  await failureOf(summary)
})

test('reading ahead is also limited for many small messages', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.hold()
  const { call, summary } = openPublishStream(client)
  const message = publishMessage({ events: [good] })

  for (let written = 0; written < 6000; written++) call.write(message)
  call.end()

  await eventually(() => pipeline.calls.length >= 4096, 30_000)
  assert.equal(await settled(() => pipeline.calls.length), 4096)
  pipeline.release()
  assert.equal((await summary).accepted, 6000n)
})

test('messages stop waiting for room when their client disconnects', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.makeRoom(0)
  const { call, summary } = openPublishStream(client)
  call.write(publishMessage({ events: [good], overflow: Overflow.WAIT }))
  await eventually(() => pipeline.calls.length > 0)
  const signal = pipeline.calls[0]?.options?.signal

  call.cancel()
  await failureOf(summary)
  await eventually(() => signal?.aborted)

  assert.equal(pipeline.events.length, 0)
})

test('a stopping server answers what it has read, then ends the stream with UNAVAILABLE draining', async (t) => {
  const { client, pipeline, drain } = await startTestServer(t)
  pipeline.hold()
  const { call, summary } = openPublishStream(client)
  call.write(publishMessage({ events: [good] }))
  await eventually(() => pipeline.calls.length > 0)

  const drained = drain(10_000)
  const error = failureOf(summary)
  await sleep(50)
  assert.equal(pipeline.events.length, 0)
  pipeline.release()

  assert.equal((await error).code, grpcStatus.UNAVAILABLE)
  assert.equal(detailsOf(await error).errorInfo?.reason, 'DRAINING')
  assert.equal(detailsOf(await error).summary?.accepted, 1n)
  assert.equal(pipeline.events.length, 1)
  client.close()
  await drained
})

test('a stopping server sends the summary of a stream whose producer has finished', async (t) => {
  const { client, pipeline, drain } = await startTestServer(t)
  pipeline.hold()
  const { call, summary } = openPublishStream(client)
  call.write(publishMessage({ events: [good] }))
  call.end()
  await eventually(() => pipeline.calls.length > 0)
  await sleep(50)

  const drained = drain(10_000)
  pipeline.release()

  assert.equal((await summary).accepted, 1n)
  client.close()
  await drained
})
