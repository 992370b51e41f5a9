// Class I of the fault tests: malformed input. The server must return an error or close the connection, keep running,
// and never store the garbage as an event.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { samples } from '../support/depth.ts'
import { newId, order } from '../support/events.ts'
import { within } from '../support/eventually.ts'
import { encodePublish, grpcClient, publishPath, publishStreamPath } from '../support/grpc-client.ts'
import { postEvents, request } from '../support/http-client.ts'
import { bareCall } from '../support/http2-call.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { assertNoLeak, footprint } from '../support/leaks.ts'
import { mutate } from '../support/mutate.ts'
import { seededRandom } from '../support/random.ts'
import {
  callHeaders,
  emptySettings,
  endHeaders,
  endStream,
  frame,
  frameType,
  grpcMessage,
  openingBytes,
  preface,
  rawConnection,
} from '../support/raw-http2.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { queryStore } from '../support/store-file.ts'
import { drained, tally } from '../support/tally.ts'

const status = { invalidArgument: 3, resourceExhausted: 8, unimplemented: 12, internal: 13 }

const goodMessage = (type = 'good'): Buffer => encodePublish({ events: [{ type, id: newId() }] })

/** Fails unless the same process is still running and answers a valid request within 2 s. */
async function assertAlive(server: ServerProcess): Promise<void> {
  assert.ok(server.running, `the server exited:\n${server.stderr.slice(-4000)}`)
  const answer = await postEvents(server.http, '{"type":"alive"}', { deadlineMs: 2000 })
  assert.equal(answer.status, 202)
}

test('malformed gRPC and HTTP gets an error, and the server keeps running', async (t) => {
  const server = await startServer(t)
  await assertAlive(server)
  const before = footprint(server)

  await t.test('fault I1: a message flagged as compressed that is not', async () => {
    for (const path of [publishPath, publishStreamPath]) {
      const body = grpcMessage(Buffer.from('garbage'), true)
      const gzip = await bareCall(server.grpc, { path, body, headers: { 'grpc-encoding': 'gzip' } })
      assert.equal(gzip.grpcStatus, status.invalidArgument, JSON.stringify(gzip))
      const undeclared = await bareCall(server.grpc, { path, body })
      assert.ok(undeclared.grpcStatus !== 0 && undeclared.grpcStatus !== null, JSON.stringify(undeclared))
    }
  })

  await t.test('fault I4: an unknown encoding', async () => {
    const body = grpcMessage(goodMessage('never'))
    const answer = await bareCall(server.grpc, { path: publishPath, body, headers: { 'grpc-encoding': 'br' } })
    assert.equal(answer.grpcStatus, status.unimplemented)
  })

  await t.test('fault I5: a length prefix of 100 MB without a body is refused at once', async () => {
    for (const path of [publishPath, publishStreamPath]) {
      const body = grpcMessage(Buffer.alloc(0), false, 100_000_000)
      const answer = await bareCall(server.grpc, { path, body, end: false, withinMs: 2000 })
      assert.equal(answer.grpcStatus, status.resourceExhausted)
    }
  })

  await t.test('fault I6: a unary call with a truncated frame, no message or two is never accepted', async () => {
    const whole = grpcMessage(goodMessage('never'))
    for (const body of [whole.subarray(0, -3), whole.subarray(0, 3), Buffer.alloc(0), Buffer.concat([whole, whole])]) {
      const answer = await bareCall(server.grpc, { path: publishPath, body })
      assert.ok(
        answer.grpcStatus !== 0 && (answer.grpcStatus !== null || answer.resetCode !== null),
        JSON.stringify(answer),
      )
    }
  })

  await t.test('fault I7: a wrong content type, path or timeout', async () => {
    const body = grpcMessage(goodMessage('never'))
    const text = await bareCall(server.grpc, { path: publishPath, body, headers: { 'content-type': 'text/plain' } })
    assert.equal(text.httpStatus, 415)
    const path = await bareCall(server.grpc, { path: '/millrace.v1.Nobody/Nothing', body })
    assert.equal(path.grpcStatus, status.unimplemented)
    const timeout = await bareCall(server.grpc, { path: publishPath, body, headers: { 'grpc-timeout': 'abc' } })
    assert.ok([status.invalidArgument, status.internal].includes(timeout.grpcStatus ?? -1), JSON.stringify(timeout))
  })

  await t.test('fault I8: a header of 70 kB', async (s) => {
    const raw = await rawConnection(s, server.grpc)
    const block = callHeaders(publishPath, [['x-large', 'x'.repeat(70_000)]])
    const frames = [preface, emptySettings]
    const size = 16_384
    for (let at = 0; at < block.length; at += size) {
      const isLast = at + size >= block.length
      const type = at === 0 ? frameType.headers : frameType.continuation
      frames.push(frame(type, (isLast ? endHeaders : 0) | (at === 0 ? endStream : 0), 1, block.subarray(at, at + size)))
    }
    raw.socket.write(Buffer.concat(frames))
    const refusals: number[] = [frameType.goaway, frameType.rstStream]
    for (let waitedMs = 0; waitedMs < 2000; waitedMs += 20) {
      if (raw.isClosed || raw.frames().some(({ type }) => refusals.includes(type))) return
      await sleep(20)
    }
    // An HTTP answer is also correct: 431 arrives as a HEADERS frame that ends the stream.
    assert.ok(
      raw.frames().some(({ type, flags, stream }) => type === frameType.headers && stream === 1 && flags & endStream),
      'the server neither refused the header nor closed the connection',
    )
  })

  await t.test('fault I9: protobuf nested 101 and 100,000 deep', async (s) => {
    const grpc = grpcClient(s, server)
    for (const depth of [101, 100_000]) {
      const groups = Buffer.concat([Buffer.alloc(depth, 0x0b), Buffer.alloc(depth, 0x0c)])
      await assert.rejects(grpc.publishBytes(groups), { code: status.invalidArgument })
      const varint = Buffer.from([
        (groups.length & 0x7f) | 0x80,
        ((groups.length >> 7) & 0x7f) | 0x80,
        groups.length >> 14,
      ])
      await assert.rejects(grpc.publishBytes(Buffer.concat([Buffer.of(0x0a), varint, groups])), {
        code: status.invalidArgument,
      })
    }
  })

  await t.test('fault I14: HTTP that is ambiguous or oversized is refused and its connection closed', async (s) => {
    const head = 'POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
    const smuggled = '{"type":"never"}'
    const requests: [string, string, RegExp][] = [
      [
        'both Content-Length and chunked',
        `${head}Content-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n${smuggled}\r\n0\r\n\r\n`,
        /^HTTP\/1\.1 400/,
      ],
      [
        'two Content-Length headers',
        `${head}Content-Length: 16\r\nContent-Length: 15\r\n\r\n${smuggled}`,
        /^HTTP\/1\.1 400/,
      ],
      ['a folded header', `${head}X-Folded: a\r\n b\r\nContent-Length: 16\r\n\r\n${smuggled}`, /^HTTP\/1\.1 400/],
      [
        '17 KiB of headers',
        `${head}X-Large: ${'x'.repeat(17 * 1024)}\r\nContent-Length: 16\r\n\r\n${smuggled}`,
        /^HTTP\/1\.1 431/,
      ],
      [
        'a flood of chunk extensions',
        `${head}Transfer-Encoding: chunked\r\n\r\n1;${'a'.repeat(20 * 1024)}\r\n{\r\n`,
        /^HTTP\/1\.1 4\d\d/,
      ],
      ['bytes that are not HTTP', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n', /^HTTP\/1\.1 400/],
    ]
    for (const [what, text, expected] of requests) {
      const raw = await rawConnection(s, server.http)
      raw.socket.write(text)
      await within(3000, `closing after ${what}`, raw.closed)
      assert.match(raw.received().toString('latin1'), expected, what)
    }
  })

  await t.test('none of it was accepted, and no resources leaked', async () => {
    await assertAlive(server)
    await drained(server)
    const types = queryStore(server.dataDir, 'SELECT DISTINCT type FROM events')
    assert.deepEqual(
      types.map((row) => row.type),
      ['alive'],
    )
    assertNoLeak(server, before)
  })
})

test('fault I16: mutated HTTP/2, gRPC and HTTP/1 frames neither crash nor hang the server', async (t) => {
  const server = await startServer(t, { env: { MILLRACE_LOG_LEVEL: 'error' } })
  const random = seededRandom(t)
  const grpc = grpcClient(t, server)
  const call = Buffer.concat([
    openingBytes(publishPath),
    frame(frameType.data, endStream, 1, grpcMessage(goodMessage('mutant'))),
  ])
  const body = JSON.stringify([{ type: 'mutant', id: newId(), data: { a: [1, 'x'] } }])
  const http = Buffer.from(
    `POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  const rounds = { connections: samples(150, 15_000), http: samples(150, 15_000), messages: samples(700, 70_000) }

  /** Writes the bytes to a new connection and gives the server a moment to process them. */
  const throwAt = async (address: string, bytes: Buffer): Promise<void> => {
    const raw = await rawConnection(t, address)
    raw.socket.end(bytes)
    await Promise.race([raw.closed, sleep(30)])
    raw.socket.destroy()
  }
  const inParallel = async (count: number, width: number, work: () => Promise<void>): Promise<void> => {
    let left = count
    await Promise.all(
      Array.from({ length: width }, async () => {
        while (left-- > 0) await work()
      }),
    )
  }

  let slowestMs = 0
  const watching = new AbortController()
  const watch = (async () => {
    while (!watching.signal.aborted) {
      const startedAt = performance.now()
      await assertAlive(server)
      slowestMs = Math.max(slowestMs, performance.now() - startedAt)
      await sleep(50)
    }
  })()
  await inParallel(rounds.connections, 30, () => throwAt(server.grpc, mutate(call, random)))
  await inParallel(rounds.http, 30, () => throwAt(server.http, mutate(http, random)))
  const message = encodePublish({ events: [order(1, { attributes: { a: 'b' }, key: 'k' }), order(2)] })
  await inParallel(rounds.messages, 20, async () => {
    await grpc.publishBytes(mutate(message, random)).catch(() => {})
  })
  watching.abort()
  await watch
  await assertAlive(server)
  t.diagnostic(`slowest valid call ${Math.round(slowestMs)} ms`)
  assert.ok(slowestMs < 2000, `a valid call took ${slowestMs} ms`)
  const ledger = await drained(server)
  assert.ok(
    ledger.every((line) => line.balanced && line.dead === 0),
    'every accepted event has landed',
  )
})

test('fault I11: names of Object.prototype properties are ordinary names', async (t) => {
  const server = await startInProcess(t)
  const grpc = grpcClient(t, server)
  const evil = '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}'
  const accepted = await grpc.publish({
    events: [
      order(1, {
        data: Buffer.from(evil),
        attributes: Object.fromEntries([
          ['__proto__', 'admin'],
          ['constructor', 'x'],
        ]),
      }),
    ],
  })
  assert.equal(accepted.accepted, 1n)
  const post = (text: string) => postEvents(server.http, text)
  assert.equal((await post(`{"type":"evil","data":${evil},"attributes":{"__proto__":"admin"}}`)).status, 202)
  assert.equal((await post('{"type":"evil","__proto__":{"admin":true}}')).status, 400)
  assert.equal((await post('{"type":"evil","attributes":{"__proto__":{"admin":true}}}')).status, 400)
  const structured = `{"specversion":"1.0","id":"1","source":"/evil","type":"evil","__proto__":{"admin":true}}`
  const answer = await postEvents(server.http, structured, { contentType: 'application/cloudevents+json' })
  assert.equal(answer.status, 400)
  await drained(server)
  const rows = queryStore(server.dataDir, 'SELECT data, attributes FROM events ORDER BY source')
  assert.deepEqual(
    rows.map((row) => row.data),
    [evil, evil],
  )
  for (const row of rows) assert.match(String(row.attributes), /"__proto__":"admin"/)
  const list = await request(server.http, '/v1/events?limit=10')
  assert.equal(list.text.split('"__proto__":"admin"').length - 1, 2)
  assert.equal(({} as { admin?: unknown }).admin, undefined)
})

test('fault I12: unusual strings are stored unchanged, or rejected with the name of the field', async (t) => {
  const server = await startInProcess(t, { topics: ['keyed:8'] })
  const grpc = grpcClient(t, server)
  const odd = ['\ufeffbom', 'a\u0001b', '\u200e', 'é', 'e\u0301', '{}', '{"a":1}', ' ', "'; DROP TABLE events; --"]
  for (const text of odd) {
    const fields = { subject: text, key: text, attributes: { [text]: text }, data: Buffer.from(JSON.stringify(text)) }
    const { accepted, rejections } = await grpc.publish({ events: [order(1, { source: `/odd/${text}`, ...fields })] })
    assert.deepEqual([accepted, rejections.length], [1n, 0])
  }
  await drained(server)
  const rows = queryStore(server.dataDir, `SELECT source, subject, key, data, attributes FROM events`)
  assert.equal(rows.length, odd.length)
  for (const text of odd) {
    const row = rows.find((candidate) => candidate.source === `/odd/${text}`)
    assert.deepEqual(
      [row?.subject, row?.key, row?.data, JSON.parse(String(row?.attributes))],
      [text, text, JSON.stringify(text), { [text]: text }],
    )
  }

  // A string cannot hold invalid UTF-8, so the message is patched after encoding.
  const bytes = encodePublish({ events: [{ type: 'tttt', id: 'iiii', key: 'kkkk', subject: 'ssss' }] })
  for (const [field, letter] of [
    ['type', 't'],
    ['id', 'i'],
    ['key', 'k'],
    ['subject', 's'],
  ] as const) {
    const patched = Buffer.from(bytes)
    patched.write('\xc3\x28', bytes.indexOf(letter.repeat(4)), 'latin1')
    await assert.rejects(grpc.publishBytes(patched), (error: Error) =>
      new RegExp(`${field}.*UTF-8`).test(error.message),
    )
    const withNul = Buffer.from(bytes)
    withNul.write('\0', bytes.indexOf(letter.repeat(4)), 'latin1')
    await assert.rejects(grpc.publishBytes(withNul), (error: Error) => new RegExp(`${field}.*NUL`).test(error.message))
  }
  await assert.rejects(grpc.publish({ events: [order(1, { key: 'k'.repeat(1024 * 1024 - 1000) })] }), /key.*1024/)

  const keys = Array.from({ length: 64 }, (_, index) => order(index, { key: `{same}${index}` }))
  assert.equal((await grpc.publish({ topic: 'keyed', events: keys })).accepted, 64n)
  await drained(server)
  const partitions = queryStore(
    server.dataDir,
    `SELECT DISTINCT s.partition FROM events e JOIN streams s USING (stream) WHERE e.topic = 'keyed'`,
  )
  assert.ok(partitions.length > 4, `keys with equal braces were spread over ${partitions.length} of 8 partitions`)
  assert.deepEqual(await tally(server, 'keyed'), { waiting: 0, landed: 64, dead: 0 })
})
