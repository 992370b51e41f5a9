import assert from 'node:assert/strict'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { connect as connectSocket, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { credentials } from '@grpc/grpc-js'
import { Authority, type Certificate } from '../../test/support/certificates.ts'
import { eventually } from '../../test/support/eventually.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import { createLogger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { ConnectionLimits } from './connection-limits.ts'
import {
  openPublishStream,
  publish,
  publishMessage,
  rawClient,
  startTestServer as startGrpc,
} from './grpc/grpc-client.test-support.ts'
import { startTestServer as startHttp } from './http/http-client.test-support.ts'
import { LinesWritten } from './lines-written.test-support.ts'
import { ServerCertificate } from './server-certificate.ts'

const good = publishMessage({ events: [{ type: 'a' }] })
const readEveryMs = 10

/** grpc-js would send an IP address as SNI, of which Node warns. */
const byName = (address: string) => address.replace('127.0.0.1', 'localhost')
const sslOf = (ca: string) => credentials.createSsl(Buffer.from(ca))

async function openCertificate(t: TestContext, { cert, key }: Certificate, log = new LinesWritten()) {
  const certificate = await ServerCertificate.open({
    config: { tlsCert: cert, tlsKey: key, tlsClientCa: null, tlsClientCrl: null },
    logger: createLogger({ level: 'info', version: 'test', destination: log }),
    now: Date.now,
    readEveryMs,
  })
  assert.ok(certificate !== null)
  t.after(() => certificate.close())
  return certificate
}

/** The serial number of the certificate that a new connection is shown. */
async function serialAt(port: number, ca: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect({ port, ca, host: '127.0.0.1', ALPNProtocols: ['h2', 'http/1.1'] }, () =>
    resolve(socket.getPeerCertificate().serialNumber),
  )
  socket.on('error', reject)
  const serial = await promise
  socket.destroy()
  return serial
}

test('new connections get a certificate that was replaced, open streams go on, and bad files change nothing', async (t) => {
  const directory = tempDirectory(t)
  const authority = new Authority(directory)
  const first = authority.issue('server')
  const { pem: ca } = authority
  const log = new LinesWritten()
  const certificate = await openCertificate(t, first, log)
  const [grpc, http] = [await startGrpc(t, { certificate }), await startHttp(t, { certificate })]
  const client = rawClient(byName(grpc.address), {}, sslOf(ca))
  t.after(() => client.close())
  const stream = openPublishStream(client)
  const serial = await serialAt(grpc.port, ca)
  assert.equal(await serialAt(http.port, ca), serial)
  const isReplaced = async (old: string) => {
    for (const { port } of [grpc, http]) {
      const until = performance.now() + 10_000
      while ((await serialAt(port, ca)) === old) assert.ok(performance.now() < until, 'the old certificate is shown')
    }
  }

  stream.call.write(good)
  authority.issue('server')
  await isReplaced(serial)
  stream.call.write(good)

  const replaced = await serialAt(http.port, ca)
  for (const bad of ['no certificate', readFileSync(authority.cert, 'utf8')]) {
    const refused = () => log.lines.filter(({ level }) => level === 'error').length
    const before = refused()
    writeFileSync(first.cert, bad)
    await eventually(() => assert.ok(refused() > before))
    assert.equal(await serialAt(grpc.port, ca), replaced)
  }
  const lines = log.lines.filter(({ level }) => level === 'error').map(({ reason }) => String(reason))
  for (const line of lines) assert.match(line, /MILLRACE_TLS_CERT is ".*server\.pem": /)
  assert.equal(lines.length, 2)
  renameSync(authority.issue('third').key, first.key)
  renameSync(`${directory}/third.pem`, first.cert)
  await isReplaced(replaced)
  assert.equal(log.lines.filter(({ level }) => level === 'error').length, 2, 'the same bad file is logged once')

  stream.call.end(good)
  assert.equal((await stream.summary).accepted, 3n)
})

interface Listening {
  readonly port: number
  readonly open: () => Promise<number>
  readonly stillServes: () => Promise<void>
  readonly drain: (deadlineMs: number) => Promise<void>
  readonly log: LinesWritten
}

/** Each of the two servers with TLS, short time limits, and at most four connections. */
const servers = {
  grpc: async (t: TestContext, authority: Authority): Promise<Listening> => {
    const certificate = await openCertificate(t, authority.issue('server'))
    const connectionLimits = new ConnectionLimits({ maxTotal: 4 })
    const server = await startGrpc(t, { certificate, connectionLimits, maxSilentMs: 300 })
    const stillServes = async () => {
      const client = rawClient(byName(server.address), {}, sslOf(authority.pem))
      await publish(client, good)
      client.close()
    }
    return { ...server, stillServes, open: () => openOf(server.metrics, 'grpc') }
  },
  http: async (t: TestContext, authority: Authority): Promise<Listening> => {
    const certificate = await openCertificate(t, authority.issue('server'))
    const connectionLimits = new ConnectionLimits({ maxTotal: 4 })
    const times = { maxHeadersMs: 300, checkEveryMs: 50 }
    const server = await startHttp(t, { certificate, connectionLimits, times })
    const stillServes = async () => {
      const socket = connect({ port: server.port, host: '127.0.0.1', ca: authority.pem })
      socket.write('GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
      assert.match(await everythingFrom(socket), /^HTTP\/1\.1 200 /)
    }
    return { ...server, stillServes, open: () => openOf(server.metrics, 'http') }
  },
}

async function openOf(metrics: Metrics, transport: string): Promise<number> {
  const { body } = await metrics.render('text/plain')
  const [, count] = new RegExp(`^millrace_open_connections\\{transport="${transport}"\\} (\\d+)$`, 'm').exec(body) ?? []
  return Number(count)
}

/** Resolves when the connection is closed, however it ends. */
function everythingFrom(socket: Socket): Promise<string> {
  let received = ''
  socket.setEncoding('latin1').on('data', (text) => {
    received += text
  })
  socket.on('error', () => {})
  return new Promise((resolve) => socket.once('close', () => resolve(received)))
}

/** The first bytes of a TLS connection, as a client sends them. */
async function clientHello(options: ConnectionOptions): Promise<Buffer> {
  const { createServer } = await import('node:net')
  const { promise, resolve } = Promise.withResolvers<Buffer>()
  const server = createServer((socket) => socket.once('data', (bytes) => resolve(bytes)))
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const socket: TLSSocket = connect({
    port: (server.address() as { port: number }).port,
    host: '127.0.0.1',
    ...options,
  })
  socket.on('error', () => {})
  const hello = await promise
  socket.destroy()
  server.close()
  return hello
}

for (const [transport, start] of Object.entries(servers)) {
  test(`what is no TLS handshake, or stops within one, costs a ${transport} server no more than its limits`, async (t) => {
    const authority = new Authority(tempDirectory(t))
    const server = await start(t, authority)
    const hello = await clientHello({ servername: 'localhost', ALPNProtocols: ['h2', 'http/1.1'] })
    const nulInName = Buffer.from(hello.toString('latin1').replace('localhost', 'local\0ost'), 'latin1')
    const garbled = Buffer.from(hello)
    for (let at = 40; at < garbled.length; at += 7) garbled[at] = ~garbled[at]!
    const beginnings = {
      nothing: Buffer.alloc(0),
      'half a hello': hello.subarray(0, 100),
      'a hello alone': hello,
      'a hello whose name has a NUL': nulInName,
      'a garbled hello': garbled,
      noise: Buffer.alloc(2000, 0x16),
      'HTTP/2 without TLS': Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      'a POST without TLS': Buffer.from('POST / HTTP/1.1\r\n\r\n'),
    }
    for (const [what, bytes] of Object.entries(beginnings)) {
      const startMs = performance.now()
      const sockets = Array.from({ length: 6 }, () => connectSocket(server.port, '127.0.0.1'))
      const ends = sockets.map((socket) => everythingFrom(socket))
      for (const socket of sockets) socket.write(bytes)
      // Two are above the limit of connections, which counts before the handshake.
      await Promise.any(ends)
      assert.ok((await server.open()) <= 4, what)
      const reset = connectSocket(server.port, '127.0.0.1', () => reset.resetAndDestroy())
      reset.on('error', () => {})
      const answers = await Promise.all(ends)
      assert.ok(performance.now() - startMs < 5000, `${what}: the connections were open for too long`)
      if (what === 'a POST without TLS' && transport === 'http') {
        assert.match(answers.join(''), /^HTTP\/1\.1 400 .*this port speaks TLS only: use https:\/\//s)
      }
      await eventually(async () => assert.equal(await server.open(), 0, what))
      await server.stillServes()
      await eventually(async () => assert.equal(await server.open(), 0, what))
    }
    assert.ok(!server.log.lines.some(({ message }) => message === 'request failed'), 'a handshake is no request')
    // A client that names no protocol gets none that it does not expect.
    const withoutAlpn = connect({ port: server.port, host: '127.0.0.1', ca: authority.pem })
    const ended = everythingFrom(withoutAlpn)
    if (transport === 'http') withoutAlpn.end('GET /livez HTTP/1.0\r\n\r\n')
    assert.match(await ended, transport === 'http' ? /^HTTP\/1\.1 200 / : /^$/)
    await server.stillServes()
    assert.ok(
      server.log.lines.some(({ message, reason }) => message === 'a TLS handshake failed' && reason !== undefined),
    )
  })

  test(`a stopping ${transport} server does not wait for handshakes`, async (t) => {
    const server = await start(t, new Authority(tempDirectory(t)))
    const silent = everythingFrom(connectSocket(server.port, '127.0.0.1'))
    await eventually(async () => assert.equal(await server.open(), 1))
    const startMs = performance.now()
    await server.drain(5000)
    await silent
    assert.ok(performance.now() - startMs < 250, 'it waited for the time limit of the handshake')
  })
}

test('TLS 1.1 is refused, TLS 1.2 and 1.3 are spoken', async (t) => {
  const authority = new Authority(tempDirectory(t))
  const { port } = await startHttp(t, { certificate: await openCertificate(t, authority.issue('server')) })
  const outcome = (version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3') =>
    new Promise<string>((resolve) => {
      const limits = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' } as const
      const socket = connect({ port, host: '127.0.0.1', ca: authority.pem, ...limits }, () => {
        resolve(socket.getProtocol() ?? 'none')
        socket.destroy()
      })
      socket.on('error', () => resolve('refused'))
    })
  assert.deepEqual(
    [await outcome('TLSv1.1'), await outcome('TLSv1.2'), await outcome('TLSv1.3')],
    ['refused', 'TLSv1.2', 'TLSv1.3'],
  )
})
