import assert from 'node:assert/strict'
import { once } from 'node:events'
import { constants } from 'node:http2'
import { connect as connectSocket, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { Metadata } from '@grpc/grpc-js'
import { ConnectionLimits } from '../connection-limits.ts'
import { eventually } from '../eventually.test-support.ts'
import { grpcStatus } from '../status.ts'
import { publish, publishMessage, startTestServer } from './grpc-client.test-support.ts'
import { closed, frame, openSession, publishPath, request } from './raw-call.test-support.ts'

const good = publishMessage({ events: [{ type: 'a' }] })
function openSocket(t: TestContext, port: number, localAddress = '127.0.0.1'): Socket {
  const socket = connectSocket({ port, host: '127.0.0.1', localAddress })
  socket.on('error', () => {})
  socket.resume()
  t.after(() => socket.destroy())
  return socket
}

test('both HTTP/2 windows are raised on each connection', async (t) => {
  const { address } = await startTestServer(t)
  const session = openSession(t, address)
  const windows: (number | undefined)[] = []
  session.on('remoteSettings', (settings) => windows.push(settings.initialWindowSize))

  await eventually(() => windows.includes(12 * 1024 * 1024))

  await request(session, frame(good))
  const { remoteWindowSize = 0 } = session.state
  assert.ok(remoteWindowSize > 22 * 1024 * 1024, `the connection's window is ${remoteWindowSize}`)
})

test('a connection above the limit per address, or the total limit, is closed at once; others stay open', async (t) => {
  const { address, port, client } = await startTestServer(t, {
    connectionLimits: new ConnectionLimits({ maxTotal: 3, maxPerAddress: 2 }),
  })
  const first = openSession(t, address)
  await request(first, frame(good))
  const second = openSession(t, address)
  await request(second, frame(good))

  const third = openSocket(t, port)
  await closed(third)
  assert.equal((await request(first, frame(good)))['grpc-status'], '0')
  const elsewhere = openSocket(t, port, '127.0.0.2')
  await once(elsewhere, 'connect')
  await closed(openSocket(t, port, '127.0.0.3'))

  first.destroy()
  elsewhere.destroy()
  const metadata = new Metadata({ waitForReady: true })
  assert.equal((await publish(client, good, { metadata, deadline: Date.now() + 5000 })).accepted, 1n)
})

test('fault S5: connections that send nothing, or a preface and no request, are closed', async (t) => {
  const { address, port } = await startTestServer(t, { maxSilentMs: 300 })
  const silent = openSocket(t, port)
  const prefaceOnly = openSession(t, address)
  const busy = openSession(t, address)
  await request(busy, frame(good))

  await Promise.all([closed(silent), closed(prefaceOnly)])

  assert.equal((await request(busy, frame(good)))['grpc-status'], '0')
})

test('fault S3: a flood of pings ends with GOAWAY ENHANCE_YOUR_CALM within a second', async (t) => {
  const { address, client } = await startTestServer(t)
  const session = openSession(t, address)
  await once(session, 'connect')
  const goaway = once(session, 'goaway')
  const startedAt = performance.now()

  for (let ping = 0; ping < 200; ping++) session.ping(() => {})
  const [code] = await goaway

  assert.equal(code, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  assert.ok(performance.now() - startedAt < 1000)
  assert.equal((await publish(client, good)).accepted, 1n)
})

test('fault S4: a flood of SETTINGS ends the connection', async (t) => {
  const { address } = await startTestServer(t)
  const session = openSession(t, address)
  await once(session, 'connect')
  const goaway = once(session, 'goaway')

  for (let count = 0; count < 100 && !session.destroyed; count++) {
    session.settings({ enablePush: count % 2 === 0 })
    await new Promise(setImmediate)
  }

  assert.equal((await goaway)[0], constants.NGHTTP2_ENHANCE_YOUR_CALM)
})

test('a client that pings while it receives answers may ping often', async (t) => {
  const { address } = await startTestServer(t)
  const session = openSession(t, address)
  await once(session, 'connect')

  for (let round = 0; round < 20; round++) {
    for (let ping = 0; ping < 5; ping++) session.ping(() => {})
    assert.equal((await request(session, frame(good)))['grpc-status'], '0')
  }
})

for (const encoding of ['br', 'gzip, gzip']) {
  test(`fault I4: a request in the encoding ${encoding} is UNIMPLEMENTED, and names those that are taken`, async (t) => {
    const { address, pipeline } = await startTestServer(t)
    const session = openSession(t, address)

    const answer = await request(session, frame(Buffer.alloc(1000, 7), 1), { 'grpc-encoding': encoding })

    assert.equal(Number(answer['grpc-status']), grpcStatus.UNIMPLEMENTED)
    assert.equal(answer['grpc-accept-encoding'], 'identity,gzip,deflate')
    assert.equal(pipeline.calls.length, 0)
    assert.equal((await request(session, frame(good), { 'grpc-encoding': 'identity' }))['grpc-status'], '0')
  })
}

test('fault I5: a length prefix of 100 MB is RESOURCE_EXHAUSTED at once', async (t) => {
  const { address } = await startTestServer(t)
  const session = openSession(t, address)
  const head = Buffer.alloc(5)
  head.writeUInt32BE(100_000_000, 1)

  assert.equal(Number((await request(session, head))['grpc-status']), grpcStatus.RESOURCE_EXHAUSTED)
  assert.equal((await request(session, frame(good)))['grpc-status'], '0')
})

test('fault I6: a truncated frame, two messages or none in a unary call are errors, never accepted', async (t) => {
  const { address, pipeline } = await startTestServer(t)
  const session = openSession(t, address)

  for (const body of [frame(good).subarray(0, 7), Buffer.concat([frame(good), frame(good)]), null]) {
    const answer = await request(session, body)
    assert.notEqual(answer['grpc-status'] ?? 'none', '0')
  }
  assert.equal(pipeline.calls.length, 0)
  assert.equal((await request(session, frame(good)))['grpc-status'], '0')
})

test('fault I7: a wrong content type is 415, an unknown path UNIMPLEMENTED, an unreadable timeout an error', async (t) => {
  const { address } = await startTestServer(t)
  const session = openSession(t, address)

  assert.equal((await request(session, frame(good), { 'content-type': 'text/plain' }))[':status'], 415)
  const unknown = await request(session, frame(good), { ':path': '/millrace.v1.IngestService/Nothing' })
  assert.equal(Number(unknown['grpc-status']), grpcStatus.UNIMPLEMENTED)
  const timeout = await request(session, frame(good), { 'grpc-timeout': 'abc' })
  assert.equal(Number(timeout['grpc-status']), grpcStatus.INTERNAL)
  assert.equal((await request(session, frame(good)))['grpc-status'], '0')
})

test('fault I8: a header of 70 kB fails the request or the connection, not the server', async (t) => {
  const { address, client } = await startTestServer(t)
  const session = openSession(t, address)

  const answer = await Promise.race([
    request(session, frame(good), { 'x-long': 'x'.repeat(70_000) }),
    closed(session).then(() => ({ 'grpc-status': 'closed' })),
  ])

  assert.notEqual(answer['grpc-status'], '0')
  assert.equal((await publish(client, good)).accepted, 1n)
})

test('fault S1: rapid resets end their connection with GOAWAY and no other call fails', async (t) => {
  const { address, client } = await startTestServer(t)
  const session = openSession(t, address)
  await once(session, 'connect')
  const ended = closed(session)
  let failed = 0
  let honest = 0

  for (let burst = 0; burst < 100 && !session.destroyed; burst++) {
    for (let reset = 0; reset < 50 && !session.destroyed; reset++) {
      const stream = session.request({ ':method': 'POST', ':path': publishPath, 'content-type': 'application/grpc' })
      stream.on('error', () => {})
      stream.close(constants.NGHTTP2_CANCEL)
    }
    await publish(client, good).then(
      () => honest++,
      () => failed++,
    )
  }
  await ended

  assert.ok(honest > 0)
  assert.equal(failed, 0)
})

/** An HTTP/2 frame as it is on the wire. */
function http2Frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

const opening = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), http2Frame(4, 0, 0, Buffer.alloc(0))])
const literal = (text: string) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)])
const publishHeaders = Buffer.concat([
  Buffer.from([0x83, 0x86]), // :method POST, :scheme http
  ...[Buffer.from([0x04]), literal(publishPath)],
  ...[Buffer.from([0x01]), literal('x')], // :authority
  ...[Buffer.from([0x0f, 0x10]), literal('application/grpc')], // content-type
])
const windowUpdate = (stream: number) => http2Frame(8, 0, stream, Buffer.from([0x7f, 0xff, 0xff, 0xff]))
const repeated = (bytes: Buffer, times: number) => Buffer.concat(Array.from({ length: times }, () => bytes))

const floods: readonly (readonly [string, Buffer])[] = [
  [
    'S2: a flood of CONTINUATION',
    Buffer.concat([
      http2Frame(1, 0, 1, publishHeaders),
      repeated(http2Frame(9, 0, 1, repeated(Buffer.from([0, 1, 0x61, 1, 0x62]), 200)), 1000),
    ]),
  ],
  [
    'S4: a flood of empty DATA',
    Buffer.concat([http2Frame(1, 4, 1, publishHeaders), repeated(http2Frame(0, 0, 1, Buffer.alloc(0)), 5000)]),
  ],
  ['S4: a window that overflows', Buffer.concat([windowUpdate(0), windowUpdate(0)])],
]

for (const [what, bytes] of floods) {
  test(`fault ${what} ends its own connection only`, async (t) => {
    const { port, client, metrics } = await startTestServer(t)
    const socket = openSocket(t, port)

    socket.write(Buffer.concat([opening, bytes]))
    await closed(socket)

    assert.equal((await publish(client, good)).accepted, 1n)
    assert.match((await metrics.render()).body, /millrace_open_connections\{transport="grpc"\} 1/)
  })
}

test('at most 100 streams are open on one connection', async (t) => {
  const { address, pipeline } = await startTestServer(t)
  pipeline.hold()
  const session = openSession(t, address)
  await once(session, 'connect')
  await eventually(() => session.remoteSettings?.maxConcurrentStreams === 100)
  const all = Array.from({ length: 150 }, () => request(session, frame(good)))

  await eventually(() => pipeline.calls.length === 100)
  pipeline.release()

  const answers = await Promise.all(all)
  assert.ok(answers.every((answer) => answer['grpc-status'] === '0'))
})

test('fault I16: mutated requests neither crash the server nor hang it', async (t) => {
  const { port, client } = await startTestServer(t, { maxSilentMs: 500 })
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])
  let state = 12345
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 8) % below
  }
  const attack = async () => {
    const socket = openSocket(t, port)
    const bytes = Buffer.alloc(200 + random(400))
    for (let at = 0; at < bytes.length; at++) bytes[at] = random(4) === 0 ? random(256) : random(10)
    socket.write(Buffer.concat([random(10) > 0 ? preface : preface.subarray(random(20)), settings, bytes]))
    await closed(socket)
  }

  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 50 }, attack))

  assert.equal((await publish(client, good)).accepted, 1n)
})
