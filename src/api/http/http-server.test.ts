import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { MillraceError } from '../../errors.ts'
import { Health } from '../../telemetry/health.ts'
import { ConnectionLimits } from '../connection-limits.ts'
import { eventually } from '../eventually.test-support.ts'
import { ask, post, speak, speakAndEnd, startTestServer } from './http-client.test-support.ts'

const request = (headers: string, body = '') =>
  `POST /v1/events HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n\r\n${body}`
const json = 'content-type: application/json'

/** The problem in a raw answer. */
function problemIn(received: string) {
  assert.match(received, /content-type: application\/problem\+json/)
  return JSON.parse(received.slice(received.indexOf('\r\n\r\n') + 4))
}

const malformed: readonly (readonly [string, string, number])[] = [
  ['something that is not HTTP', 'hello\r\n\r\n', 400],
  ['an HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  [
    'content-length beside transfer-encoding',
    request(`${json}\r\ncontent-length: 3\r\ntransfer-encoding: chunked`),
    400,
  ],
  ['two content-lengths', request(`${json}\r\ncontent-length: 3\r\ncontent-length: 4`), 400],
  ['a folded header', request(`${json}\r\nx-a: 1\r\n  folded`), 400],
  ['a header over 16 KiB', request(`${json}\r\nx-a: ${'x'.repeat(17 * 1024)}`), 431],
  ['a NUL in a header', request(`${json}\r\nx-a: a\0b`), 400],
  [
    'a flood of chunk extensions',
    request(`${json}\r\ntransfer-encoding: chunked`, `1;x=${'y'.repeat(40_000)}\r\n{\r\n`),
    400,
  ],
]

for (const [what, bytes, status] of malformed) {
  test(`fault I14: ${what} is ${status}, the connection is closed and the server keeps working`, async (t) => {
    const { url, port, pipeline } = await startTestServer(t)

    const received = await speak(port, bytes)

    assert.match(received, new RegExp(`^HTTP/1\\.1 ${status} `))
    const problem = problemIn(received)
    assert.equal(problem.status, status)
    assert.equal(pipeline.calls.length, 0)
    assert.equal((await post(url, { type: 'a' })).status, 202)
  })
}

test('a client that ends its side of the connection behind its requests gets every answer', async (t) => {
  const { port, pipeline } = await startTestServer(t)
  const published = request(`${json}\r\ncontent-length: 12`, '{"type":"a"}')
  const lines = request(
    'content-type: application/x-ndjson\r\ntransfer-encoding: chunked',
    'd\r\n{"type":"b"}\n\r\n0\r\n\r\n',
  )
  pipeline.hold()
  const answers = Promise.all([speakAndEnd(port, published, published), speakAndEnd(port, lines)])
  await eventually(() => pipeline.calls.length === 3)
  pipeline.release()

  const [both = '', one = ''] = await answers
  assert.deepEqual([both.match(/HTTP\/1\.1 202 /g)?.length, one.match(/HTTP\/1\.1 202 /g)?.length], [2, 1])
  assert.match(await speakAndEnd(port, 'GET /livez HTTP/1.1\r\nhost: x\r\n\r\n'), /^HTTP\/1\.1 200 /)
  assert.equal(await speakAndEnd(port, ''), '')
})

test('events stop waiting for room when their client ends its side of the connection', async (t) => {
  const { port, pipeline } = await startTestServer(t)
  pipeline.makeRoom(0)
  const published = request(`${json}\r\ncontent-length: 12`, '{"type":"a"}').replace('events', 'events?overflow=wait')

  const received = await speakAndEnd(port, published)

  assert.match(received, /^HTTP\/1\.1 499 Client Closed Request\r\n/)
  assert.equal(problemIn(received).code, 'cancelled')
})

test('a request without a host is 400', async (t) => {
  const { port } = await startTestServer(t)

  const received = await speak(port, 'GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n')

  assert.equal(problemIn(received).field, 'host')
})

test('fault S5: a connection without a request, or with slowly arriving headers, is closed', async (t) => {
  const { port } = await startTestServer(t, { times: { maxHeadersMs: 200, checkEveryMs: 50 } })
  const slow = connect(port, '127.0.0.1')
  t.after(() => slow.destroy())
  slow.on('error', () => {})
  slow.write('GET /livez HTTP/1.1\r\nhost: x\r\n')
  const dribble = setInterval(() => slow.write('x-a: 1\r\n'), 50)
  t.after(() => clearInterval(dribble))
  let received = ''
  slow.on('data', (part) => {
    received += part
  })

  const slowCloses = once(slow, 'close')
  const silent = await speak(port, '')
  await slowCloses

  assert.match(silent, /^$|^HTTP\/1\.1 408 /)
  assert.match(received, /^HTTP\/1\.1 408 /)
})

test('a body that does not arrive in time is 408 and its connection is closed', async (t) => {
  const { port } = await startTestServer(t, { times: { maxBodyMs: 150, maxLingerMs: 50 } })

  const received = await speak(port, request(`${json}\r\ncontent-length: 100`, '{"type":'))

  assert.match(received, /^HTTP\/1\.1 408 /)
  assert.equal(problemIn(received).code, 'deadline_exceeded')
})

test('a connection with an unread body is closed', async (t) => {
  const { port } = await startTestServer(t, { times: { maxLingerMs: 100 } })

  const received = await speak(port, `POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n`)

  assert.match(received, /^HTTP\/1\.1 405 /)
})

test('a request that was answered before its body broke off gets no second answer', async (t) => {
  const { port } = await startTestServer(t)
  const head = 'POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\n'
  const breaks = [
    ['content-length: 500', (socket: Socket) => socket.end()],
    ['transfer-encoding: chunked', (socket: Socket) => socket.write('zz\r\n')],
  ] as const

  for (const [field, breakOff] of breaks) {
    const socket = connect(port, '127.0.0.1')
    socket.write(`${head}${field}\r\n\r\n`)
    let received = ''
    socket.on('data', (part) => {
      received += part
    })
    await eventually(() => received.endsWith('}'))
    breakOff(socket)
    await once(socket, 'close')
    assert.deepEqual(received.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 415'])
  }
})

test('connections above the limit of an address are closed at once', async (t) => {
  const { port, url, metrics } = await startTestServer(t, {
    connectionLimits: new ConnectionLimits({ maxPerAddress: 2 }),
  })
  const held = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
  await Promise.all(held.map((socket) => once(socket, 'connect')))
  await eventually(() => true)

  assert.equal(await speak(port, 'GET /livez HTTP/1.1\r\nhost: x\r\n\r\n'), '')

  for (const socket of held) socket.destroy()
  await Promise.all(held.map((socket) => once(socket, 'close')))
  let alive = false
  while (!alive)
    alive = await ask(`${url}/livez`).then(
      ({ status }) => status === 200,
      () => false,
    )
  assert.match((await metrics.render()).body, /millrace_open_connections\{transport="http"\} 1/)
})

test('an unknown route is 404, a wrong method 405 with Allow, a bad URL 400', async (t) => {
  const { url, port } = await startTestServer(t)

  const unknown = await ask(`${url}/v2/events`)
  const method = await ask(`${url}/v1/events`, { method: 'DELETE' })
  const readOnly = await post(`${url}/v1/status?x=`, {})
  const badUrl = await speak(port, 'GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')

  assert.deepEqual([unknown.status, unknown.json.code], [404, 'not_found'])
  assert.deepEqual([method.status, method.headers.get('allow')], [405, 'GET, HEAD, POST'])
  assert.equal(readOnly.status, 405)
  assert.match(badUrl, /^HTTP\/1\.1 400 /)
  assert.equal(problemIn(badUrl).status, 400)
})

test('a CORS preflight is refused', async (t) => {
  const { url } = await startTestServer(t)

  const preflight = await ask(`${url}/v1/events`, {
    method: 'OPTIONS',
    headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
  })

  assert.equal(preflight.status, 405)
  assert.equal(preflight.headers.get('access-control-allow-origin'), null)
})

test('a plain request id is returned, any other is replaced', async (t) => {
  const { url } = await startTestServer(t)

  const kept = await ask(`${url}/livez`, { headers: { 'x-request-id': 'order-7' } })
  const made = await ask(`${url}/livez`, { headers: { 'x-request-id': 'a b' } })

  assert.equal(kept.headers.get('x-request-id'), 'order-7')
  assert.match(made.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/)
})

test('each request has one line in the log with its id, which its problem has too', async (t) => {
  const { url, pipeline, log } = await startTestServer(t, { logLevel: 'debug' })
  Object.assign(pipeline.administration, { pauseGroup: async () => {} })
  const headers = { 'x-request-id': 'order-7' }

  await post(url, { type: 'a' }, '', headers)
  await ask(`${url}/v1/groups/orders/billing/pause`, { method: 'POST', headers })
  const refused = await post(url, { type: '' }, '', headers)

  assert.equal((JSON.parse(refused.text) as { instance: string }).instance, 'urn:millrace:request:order-7')
  await eventually(() => log.lines.length === 3)
  const shown = log.lines.map(({ level, request_id, route, status, received_bytes }) => [
    ...[level, request_id, route, status, received_bytes],
  ])
  assert.deepEqual(shown, [
    ['debug', 'order-7', '/v1/events', 202, 12],
    ['info', 'order-7', '/v1/groups/:topic/:group/pause', 200, 0],
    ['warn', 'order-7', '/v1/events', 400, 11],
  ])
  assert.deepEqual(log.lines[1]?.ids, { topic: 'orders', group: 'billing' })
})

test('requests are counted by route and status, and a failed request writes one log line', async (t) => {
  const { url, metrics, log } = await startTestServer(t)

  await post(url, { type: 'a' })
  await post(url, { type: '' })
  await ask(`${url}/nowhere/${'x'.repeat(30)}`)

  const { body } = await metrics.render()
  assert.match(body, /duration_seconds_count\{method="POST",route="\/v1\/events",status="202"\} 1/)
  assert.match(body, /duration_seconds_count\{method="POST",route="\/v1\/events",status="400"\} 1/)
  assert.match(body, /duration_seconds_count\{method="GET",route="unknown",status="404"\} 1/)
  assert.match(body, /millrace_publish_duration_seconds_count\{transport="http"\} 2/)
  assert.deepEqual(
    log.lines.map(({ level, message, code }) => [level, message, code]),
    [
      ['warn', 'request failed', 'invalid_event'],
      ['warn', 'request failed', 'not_found'],
    ],
  )
})

test('the error for a port in use names the port and the setting', async (t) => {
  const { port } = await startTestServer(t)

  await assert.rejects(startTestServer(t, { port }), (error: MillraceError) => {
    assert.ok(error instanceof MillraceError)
    assert.equal(error.field, 'MILLRACE_HTTP_PORT')
    assert.match(error.message, new RegExp(`^MILLRACE_HTTP_PORT: 127\\.0\\.0\\.1:${port} is in use`))
    return true
  })
})

test('the error for a foreign address names the address', async (t) => {
  await assert.rejects(startTestServer(t, { host: '192.0.2.1' }), /^MillraceError: MILLRACE_HOST: 192\.0\.2\.1/)
})

test('a stopping server finishes running requests and closes idle connections', async (t) => {
  const health = new Health([])
  const { url, port, pipeline, drain } = await startTestServer(t, { health })
  const agent = new Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  await new Promise((resolve) => get({ port, path: '/livez', agent }, (answer) => answer.resume().on('end', resolve)))
  pipeline.hold()
  const running = post(url, { type: 'a' })
  await eventually(() => pipeline.calls.length === 1)

  health.startDraining()
  const drained = drain(10_000)
  await assert.rejects(ask(`${url}/livez`))
  pipeline.release()

  assert.equal((await running).json.accepted, 1)
  await drained
})

test('a connection without a request does not delay a stopping server', async (t) => {
  const { port, drain } = await startTestServer(t)
  const silent = connect(port, '127.0.0.1')
  await once(silent, 'connect')
  const closed = once(silent.resume(), 'close')

  const startedAt = performance.now()
  await drain(10_000)

  await closed
  assert.ok(performance.now() - startedAt < 2000)
})

test('an answer sent while the server drains has connection: close', async (t) => {
  const health = new Health([])
  const { url } = await startTestServer(t, { health })
  health.startDraining()

  assert.equal((await ask(`${url}/livez`)).headers.get('connection'), 'close')
})

test('requests still running at the deadline are force-closed', async (t) => {
  const { url, pipeline, drain } = await startTestServer(t)
  pipeline.hold()
  const stuck = assert.rejects(post(url, { type: 'a' }))
  await eventually(() => pipeline.calls.length === 1)

  const startedAt = performance.now()
  await drain(150)

  const tookMs = performance.now() - startedAt
  assert.ok(tookMs >= 140 && tookMs < 2000, `took ${tookMs} ms`)
  await stuck
})

test('fault I16: mutated requests neither crash the server nor hang it', async (t) => {
  const { url, port } = await startTestServer(t, {
    times: { maxHeadersMs: 200, maxBodyMs: 200, maxIdleMs: 200, maxLingerMs: 50, checkEveryMs: 50 },
  })
  const seed = request(
    `${json}\r\ntransfer-encoding: chunked\r\nce-id: a`,
    '1a\r\n[{"type":"a","data":{"x":1}}\r\n0\r\n\r\n',
  )
  let state = 4711
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 8) % below
  }
  const attack = () => {
    const bytes = Buffer.from(seed)
    for (let change = random(12); change >= 0; change--) bytes[random(bytes.length)] = random(256)
    return speak(port, bytes.subarray(0, 1 + random(bytes.length)))
  }

  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 50 }, attack))

  assert.equal((await post(url, { type: 'a' })).status, 202)
})
