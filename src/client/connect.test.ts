import assert from 'node:assert/strict'
import { createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { status } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'
import { encodeBatch } from '../event/record-batch.ts'
import { Overflow } from '../gen/millrace/v1/ingest_pb.ts'
import { connect } from './connect.ts'
import { IngestServer } from './ingest-server.test-support.ts'

test('publishing returns a verdict for each event', async (t) => {
  const server = await IngestServer.start(t)
  server.answerPublish = () => ({
    accepted: 1n,
    dropped: 1n,
    rejections: [
      { index: 2n, id: 'c', code: 'backlogged', message: 'too many', retryAfter: { seconds: 1n, nanos: 0 } },
    ],
    durability: 3,
  })
  const client = connect({ addresses: [server.address] })

  const verdict = await client.publishEvents(
    [
      { id: 'a', type: 'test', data: [1] },
      { id: 'b', type: 'test' },
      { id: 'c', type: 'test' },
    ],
    { topic: 'orders', overflow: 'drop' },
  )
  client.close()

  assert.deepEqual(verdict, {
    accepted: 1,
    dropped: 1,
    rejections: [{ index: 2, id: 'c', code: 'backlogged', message: 'too many', retryAfterMs: 1000 }],
    durability: 'disk',
  })
  const request = server.published[0]!
  assert.equal(request.topic, 'orders')
  assert.equal(request.overflow, Overflow.DROP)
  assert.deepEqual(
    request.events.map(({ id }) => id),
    ['a', 'b', 'c'],
  )
  assert.equal(Buffer.from(request.events[0]!.data).toString(), '[1]')
})

test('events that are already encoded are published unchanged', async (t) => {
  const server = await IngestServer.start(t)
  const client = connect({ addresses: [server.address] })
  const message = encodeBatch([{ id: 'a', type: 'test' }])

  await client.publish({ topic: 'events', overflow: 'reject', message })

  assert.deepEqual(
    server.published[0]!.events.map(({ id }) => id),
    ['a'],
  )
  await assert.rejects(
    client.publish({ topic: 'events', overflow: 'reject', message, producer: { id: 'p', epoch: 1, sequence: 1 } }),
    hasCode('unimplemented'),
  )
  client.close()
})

test('a call that the server refuses rejects with its code, and the next call is made', async (t) => {
  const server = await IngestServer.start(t)
  const client = connect({ addresses: [server.address] })
  server.answerPublish = () => ({ code: status.NOT_FOUND, details: 'there is no topic "nope"' })
  await assert.rejects(client.publishEvents([{ type: 'test' }]), hasCode('not_found', /no topic "nope"/))

  server.answerPublish = () => ({ accepted: 1n })
  assert.equal((await client.publishEvents([{ type: 'test' }])).accepted, 1)
  client.close()
})

test('without a server the error names the addresses', async () => {
  const client = connect({ addresses: ['127.0.0.1:1', '127.0.0.1:2'] })
  await assert.rejects(
    client.publishEvents([{ type: 'test' }]),
    hasCode('unavailable', /no Millrace server answers at 127\.0\.0\.1:1, 127\.0\.0\.1:2/),
  )
  client.close()
})

test('a call to a silent server ends at its deadline, also while connecting', async (t) => {
  const sockets: Socket[] = []
  const silent = createServer((socket) => sockets.push(socket.on('error', () => {})))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    silent.close()
    for (const socket of sockets) socket.destroy()
  })
  const address = silent.address()
  assert.ok(address !== null && typeof address === 'object')
  const client = connect({ addresses: [`127.0.0.1:${address.port}`], deadlineMs: 100 })

  await assert.rejects(client.publishEvents([{ type: 'test' }]), hasCode('deadline_exceeded'))
  await assert.rejects(
    client.publishEvents([{ type: 'test' }], { deadlineMs: 60_000, signal: AbortSignal.timeout(50) }),
    hasCode('cancelled'),
  )
  client.close()
})

test('a client reconnects after its server was restarted', async (t) => {
  const server = await IngestServer.start(t)
  server.answerPublish = () => ({ accepted: 1n })
  const client = connect({ addresses: () => [server.address] })
  await client.publishEvents([{ type: 'test' }])
  await server.stop()
  await assert.rejects(client.publishEvents([{ type: 'test' }]), hasCode('unavailable'))
  await server.listen()

  assert.equal((await client.publishEvents([{ type: 'test' }])).accepted, 1)
  client.close()
  client.close()
  await assert.rejects(client.publishEvents([{ type: 'test' }]), hasCode('failed_precondition'))
})

test('when a server is lost between two calls, the client uses the next address and no call fails', async (t) => {
  const [first, second] = [await IngestServer.start(t), await IngestServer.start(t)]
  for (const server of [first, second]) server.answerPublish = () => ({ accepted: 1n })
  const client = connect({ addresses: [first.address, second.address] })
  await client.publishEvents([{ type: 'test' }])
  await first.stop()
  // The client notices the closed connection in one of the next turns of the event loop.
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))

  await client.publishEvents([{ type: 'test' }])
  client.close()

  assert.deepEqual([first.published.length, second.published.length], [1, 1])
})

function hasCode(code: string, message = /./) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof MillraceError)
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  }
}

test('a client with a key sends it with every call, a stream too', async (t) => {
  const server = await IngestServer.start(t)
  for (const key of ['mr_a', null]) {
    const client = connect({ addresses: [server.address], key })
    await client.publishEvents([{ type: 'test' }])
    const publisher = client.publisher()
    publisher.add({ type: 'test' })
    await publisher.close()
    client.close()
  }

  assert.deepEqual(server.authorizations, ['Bearer mr_a', 'Bearer mr_a', undefined, undefined])
  assert.throws(() => connect({ key: 'mr_a\n' }), { code: 'invalid_event', field: 'key' })
})
