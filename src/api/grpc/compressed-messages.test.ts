import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import { compressionAlgorithms } from '@grpc/grpc-js'
import { eventually } from '../eventually.test-support.ts'
import { InflateBudget } from '../inflate-budget.ts'
import { grpcStatus } from '../status.ts'
import { CompressedMessages } from './compressed-messages.ts'
import { openPublishStream, publish, publishMessage, rawClient, startTestServer } from './grpc-client.test-support.ts'
import { frame, openSession, request } from './raw-call.test-support.ts'

const bytes = 'application/octet-stream'

const message = (id: string) =>
  publishMessage({ events: [{ type: 'a', id, dataContentType: bytes, data: randomBytes(200) }] })

for (const encoding of ['gzip', 'deflate'] as const) {
  test(`a stock client compresses its messages with ${encoding}, in one call and in a stream`, async (t) => {
    const inflateBudget = new InflateBudget()
    const { address, pipeline } = await startTestServer(t, { inflateBudget })
    const client = rawClient(address, { 'grpc.default_compression_algorithm': compressionAlgorithms[encoding] })
    t.after(() => client.close())

    assert.equal((await publish(client, message('one'))).accepted, 1n)
    const { call, summary } = openPublishStream(client)
    for (let n = 0; n < 300; n++) call.write(message(String(n)))
    call.end()

    assert.equal((await summary).accepted, 300n)
    const ids = pipeline.events.map(({ id }) => id)
    assert.deepEqual(ids, ['one', ...Array.from({ length: 300 }, (_, n) => String(n))])
    await eventually(() => inflateBudget.bytes === 0)
  })
}

test('a message that is damaged, truncated or a bomb is refused, and the server goes on', async (t) => {
  const inflateBudget = new InflateBudget()
  const { address, pipeline } = await startTestServer(t, { inflateBudget })
  const session = openSession(t, address)
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
  const large = Buffer.from(randomBytes(3 * 1024 * 1024).toString('hex'))
  const rssBefore = process.memoryUsage.rss()

  const send = (body: Buffer, more: Record<string, string> = {}) =>
    request(session, body, { 'grpc-encoding': 'gzip', ...more })
  const statusOf = async (content: Buffer) => Number((await send(frame(content, 1)))['grpc-status'])
  assert.equal(await statusOf(Buffer.from('garbage')), grpcStatus.INVALID_ARGUMENT)
  assert.equal(await statusOf(gzipSync(message('a')).subarray(0, -4)), grpcStatus.INVALID_ARGUMENT)
  assert.equal(await statusOf(deflateSync(message('a'))), grpcStatus.INVALID_ARGUMENT)
  assert.equal(await statusOf(bomb), grpcStatus.RESOURCE_EXHAUSTED)
  assert.equal(await statusOf(gzipSync(large)), grpcStatus.RESOURCE_EXHAUSTED)
  const streamed = await send(frame(bomb, 1), { ':path': '/millrace.v1.IngestService/PublishStream' })
  assert.equal(Number(streamed['grpc-status']), grpcStatus.RESOURCE_EXHAUSTED)

  assert.equal(pipeline.events.length, 0)
  await eventually(() => inflateBudget.bytes === 0)
  const grownMiB = (process.memoryUsage.rss() - rssBefore) / 2 ** 20
  assert.ok(grownMiB < 40, `the process has grown by ${grownMiB} MiB`)
  assert.equal(await statusOf(gzipSync(message('good'))), grpcStatus.OK)
})

test('the messages of one frame are inflated one at a time, and what finds no memory is told to come again', async (t) => {
  const inflateBudget = new InflateBudget(3 * 1024 * 1024)
  const { address, pipeline } = await startTestServer(t, { inflateBudget })
  const session = openSession(t, address)
  // Each inflates to 1 MB from 1 KB: sixty-four of them would be 64 MB at once.
  const one = frame(
    gzipSync(publishMessage({ events: [{ type: 'a', dataContentType: bytes, data: Buffer.alloc(1_000_000) }] })),
    1,
  )
  const headers = { 'grpc-encoding': 'gzip', ':path': '/millrace.v1.IngestService/PublishStream' }

  const streamed = await request(session, Buffer.concat(Array.from({ length: 64 }, () => one)), headers)

  assert.equal(streamed['grpc-status'], '0')
  assert.equal(pipeline.events.length, 64)
  pipeline.hold()
  const held = Array.from({ length: 3 }, () => request(session, one, { 'grpc-encoding': 'gzip' }))
  const first = await Promise.race(held)
  assert.equal(Number(first['grpc-status']), grpcStatus.RESOURCE_EXHAUSTED)
  assert.ok(Number(first['grpc-retry-pushback-ms']) > 0)
  pipeline.release()
  await Promise.all(held)
  await eventually(() => inflateBudget.bytes === 0)
})

test('a message whose call ends while it is inflated is not handed on, not even a part of it', async () => {
  const inflateBudget = new InflateBudget()
  const messages = new CompressedMessages('gzip', inflateBudget)
  const inflating = messages.contentOf(frame(gzipSync(randomBytes(1024 * 1024)), 1))

  messages.close()

  await assert.rejects(inflating, { code: 'cancelled' })
  assert.equal(inflateBudget.bytes, 0)
})
