import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cleanup } from '../support/cleanup.ts'
import { order } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { RawGrpcClient } from '../support/grpc-client.ts'
import { request } from '../support/http-client.ts'
import { rawConnection } from '../support/raw-http2.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'

/** How many connections the server reports. */
async function openConnections(server: ServerProcess, transport: string): Promise<number> {
  const { text } = await request(server.http, '/metrics')
  return Number(new RegExp(`^millrace_open_connections\\{transport="${transport}"\\} (\\d+)$`, 'm').exec(text)?.[1])
}

test('faults N1 and S5: connections of clients that vanish or never send anything are closed', async (t) => {
  const server = await startServer(t)
  const proxy = await startFaultProxy(t, () => server.grpc)
  const httpProxy = await startFaultProxy(t, () => server.http)
  const clients = Array.from({ length: 4 }, () => new RawGrpcClient(proxy.address))
  cleanup(t, () => {
    for (const client of clients) client.close()
  })
  const [unary, streaming, bidi, idle] = clients as [RawGrpcClient, RawGrpcClient, RawGrpcClient, RawGrpcClient]
  await unary.publish({ events: [order(1)] })
  await idle.publish({ events: [order(2)] })
  const stream = streaming.publishStream()
  await stream.send({ events: [order(3)] })
  const produce = bidi.produce()
  await produce.send({ producerId: 'p', sequence: 1, events: [order(4)] })
  await eventually(() => assert.equal(produce.responses.length, 1))
  // Half a request over HTTP, and NDJSON that stops in the middle.

  const half = await rawConnection(t, httpProxy.address)
  half.socket.write('POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Le')
  const ndjson = await rawConnection(t, httpProxy.address)
  ndjson.socket.write(
    'POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"type":"a"}\n{"t\r\n',
  )
  // And connections that never send a byte.
  const silent = [
    ...(await Promise.all(Array.from({ length: 50 }, () => rawConnection(t, server.grpc)))),
    ...(await Promise.all(Array.from({ length: 50 }, () => rawConnection(t, server.http)))),
  ]
  assert.equal(await openConnections(server, 'grpc'), 54)
  for (const direction of [proxy.up, proxy.down, httpProxy.up, httpProxy.down]) direction.blocked = true
  const blockedAt = performance.now()
  void unary.publish({ events: [order(5)] }, { deadlineMs: 1000 }).catch(() => {})

  await eventually(() => assert.ok(silent.every(({ isClosed }) => isClosed)), {
    withinMs: 15_000,
    everyMs: 200,
    what: 'closing the silent connections',
  })
  t.diagnostic(`silent connections closed after ${Math.round(performance.now() - blockedAt)} ms`)
  await eventually(async () => assert.equal(await openConnections(server, 'grpc'), 0), {
    withinMs: 35_000 - (performance.now() - blockedAt),
    everyMs: 250,
    what: 'closing the connections of vanished gRPC clients',
  })
  t.diagnostic(`connections of vanished gRPC clients closed after ${Math.round(performance.now() - blockedAt)} ms`)
  await eventually(async () => assert.ok((await openConnections(server, 'http')) <= 2), {
    withinMs: 10_000,
    what: 'closing the incomplete HTTP requests',
  })
  assert.ok(server.running)
})
