// A gateway: a process with nothing of its own, in front of a server. That its answers are those of the server is shown by the
// tests of the routes, some of which run through one (TEST_THROUGH_GATEWAY=1 does that to all of them).

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { rssBytesOf } from '../../bench/process-usage.ts'
import { isLongRun } from '../support/depth.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { postEvents, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { startServer } from '../support/server-process.ts'
import { serverSentEvents } from '../support/server-sent-events.ts'
import { drained } from '../support/tally.ts'

const gatewayOf = (grpc: string) => ({ MILLRACE_ROLES: 'gateway', MILLRACE_UPSTREAM: grpc })
const event = '{"type":"order.placed"}'
const json = { contentType: 'application/json' }

test('a gateway says that its server is gone, sends subscribers away, and goes on when it is back', async (t) => {
  const server = await startInProcess(t, {
    env: { MILLRACE_GRPC_PORT: String(await freePort()) },
    isBehindGateway: false,
  })
  const gateway = await startInProcess(t, { env: gatewayOf(server.grpc) })
  const stream = serverSentEvents(`http://${gateway.http}/v1/events/live?from=earliest`)
  assert.equal((await postEvents(gateway.http, event, json)).status, 202)
  const first = (await stream.next()).value!

  await server.stop()
  const last = await Array.fromAsync(stream)
  assert.equal(last.at(-1)?.event, 'reconnect')
  await eventually(async () => assert.equal((await request(gateway.http, '/readyz')).status, 503))
  const [cause] = JSON.parse((await request(gateway.http, '/readyz')).text).causes
  const reason = `no Millrace server answers at ${server.grpc}`
  assert.deepEqual(cause, { component: 'upstream', reason: 'unavailable', message: reason })
  const refused = await postEvents(gateway.http, event, json)
  assert.deepEqual([refused.status, JSON.parse(refused.text).detail], [503, reason])
  assert.equal(refused.headers.get('retry-after'), '1')

  await server.start()
  await eventually(async () => assert.equal((await postEvents(gateway.http, event, json)).status, 202))
  await eventually(async () => assert.equal((await request(gateway.http, '/readyz')).status, 200))
  const again = serverSentEvents(`http://${gateway.http}/v1/events/live`, { headers: { 'last-event-id': first.id } })
  const next = (await again.next()).value
  await again.return()
  assert.equal(next?.event, 'event')
  assert.deepEqual(readdirSync(gateway.dataDir), [], 'a gateway keeps nothing')
})

test('a request has one id in the log of the gateway and of its server', async (t) => {
  const server = await startInProcess(t, { isBehindGateway: false })
  const gateway = await startInProcess(t, { env: gatewayOf(server.grpc) })
  const { status } = await request(gateway.http, '/v1/events/none', { headers: { 'x-request-id': 'asked-once' } })
  assert.equal(status, 404)
  for (const { stderr } of [gateway, server]) assert.match(stderr, /"request_id":"asked-once"/)
})

test('a gateway tells its callers apart: none gets the kept answer of another, and no key is in its log', async (t) => {
  const server = await startInProcess(t, { env: { MILLRACE_AUTH: 'keys' }, isBehindGateway: false })
  const gateway = await startInProcess(t, { env: { ...gatewayOf(server.grpc), MILLRACE_AUTH: 'keys' } })
  const key = readFileSync(join(server.dataDir, 'admin.key'), 'utf8').trim()
  const createKey = (authorization: string) => {
    const headers = { authorization, 'idempotency-key': '"1"', 'content-type': 'application/json' }
    return request(gateway.http, '/v1/keys', { method: 'POST', body: '{"name":"shop","scopes":["read"]}', headers })
  }

  const made = await createKey(`Bearer ${key}`)
  const again = await createKey(`Bearer ${key}`)
  const other = await createKey('Bearer mr_000000000000_wrong')
  const broken = await createKey(`Bearer\t${key}\u00e9`)

  assert.deepEqual([made.status, again.status, other.status, broken.status], [201, 201, 401, 401])
  assert.equal(again.text, made.text)
  assert.ok(!gateway.stderr.includes(key))
})

test('a gateway outlives a search for what looks like the id of a key by a caller without one', async (t) => {
  const server = await startInProcess(t, { env: { MILLRACE_AUTH: 'keys' }, isBehindGateway: false })
  const gateway = await startServer(t, { env: { ...gatewayOf(server.grpc), MILLRACE_AUTH: 'keys' } })
  for (let n = 0; n < 5; n++) assert.equal((await request(gateway.http, '/v1/find/AAAAAAAAAAAA')).status, 401)
  assert.equal((await request(gateway.http, '/livez')).status, 200)
})

test('what a message cannot say is refused by a gateway as by its server, not taken for what was left out', async (t) => {
  const server = await startInProcess(t, { isBehindGateway: false })
  const gateway = await startInProcess(t, { env: gatewayOf(server.grpc) })
  const key = { name: 'shop', scopes: ['read'] }
  const wrong: [path: string, body: object, field: string][] = [
    ['/v1/keys', { ...key, topics: [] }, 'topics'],
    ['/v1/keys', { ...key, rate_per_second: 0 }, 'rate_per_second'],
    ['/v1/keys', { ...key, rate_per_second: 0.5 }, 'rate_per_second'],
    ['/v1/replay', { type: '' }, 'type'],
    ['/v1/dead-letters/redrive', { rate: 0 }, 'rate'],
    ['/v1/groups/events/landing/resume', { rate: 0 }, 'rate'],
  ]
  for (const { http } of [server, gateway])
    for (const [path, body, field] of wrong) {
      const headers = { 'content-type': 'application/json' }
      const { status, text } = await request(http, path, { method: 'POST', headers, body: JSON.stringify(body) })
      assert.deepEqual([status, JSON.parse(text).field], [400, field], `${path} ${JSON.stringify(body)}: ${text}`)
    }
})

test('a gateway that stops tells subscribers to come back, and waits for none', async (t) => {
  const server = await startInProcess(t, { isBehindGateway: false })
  const gateway = await startInProcess(t, { env: gatewayOf(server.grpc) })
  const stream = serverSentEvents(`http://${gateway.http}/v1/events/live?from=earliest`)
  assert.equal((await stream.next()).value?.event, 'caught_up')
  const unread = await fetch(`http://${gateway.http}/v1/status/live`)
  const startedAt = performance.now()
  await gateway.stop()
  assert.ok(performance.now() - startedAt < 4000)
  assert.equal((await Array.fromAsync(stream)).at(-1)?.event, 'reconnect')
  await unread.body?.cancel()
})

test('a gateway passes on bodies of any size in little memory', async (t) => {
  const megabytes = isLongRun ? 200 : 60
  const server = await startServer(t, { env: { MILLRACE_DISK_RESERVE_BYTES: '0' } })
  const gateway = await startServer(t, { env: gatewayOf(server.grpc) })
  const idleBytes = rssBytesOf(gateway.pid)
  let highestBytes = 0
  const watch = setInterval(() => {
    highestBytes = Math.max(highestBytes, rssBytesOf(gateway.pid))
  }, 50)
  const send = async (path: string, contentType: string, chunk: Buffer, count: number) => {
    const body = Readable.toWeb(Readable.from(Array.from({ length: count }, () => chunk)))
    const headers = { 'content-type': contentType }
    const answer = await fetch(`http://${gateway.http}${path}`, {
      method: 'POST',
      headers,
      body,
      duplex: 'half',
    } as RequestInit)
    return JSON.parse(await answer.text())
  }
  try {
    const line = Buffer.from(`{"type":"large","data":"${'x'.repeat(64 * 1024)}"}\n`)
    const lines = megabytes * 16
    const { accepted } = await send('/v1/events', 'application/x-ndjson', line, lines)
    assert.equal(accepted, lines)
    const chunk = randomBytes(1024 * 1024)
    const stored = await send('/v1/files', 'application/octet-stream', chunk, megabytes)
    const hash = createHash('sha256')
    for (let n = 0; n < megabytes; n++) hash.update(chunk)
    assert.deepEqual([stored.size, stored.sha256], [megabytes * chunk.length, hash.digest('hex')])
    const content = await fetch(`http://${gateway.http}/v1/files/${stored.file_id}/content`)
    let read = 0
    for await (const part of content.body!) read += part.length
    assert.equal(read, stored.size)
  } finally {
    clearInterval(watch)
  }
  const grownMegabytes = (highestBytes - idleBytes) / 1024 / 1024
  t.diagnostic(`idle ${Math.round(idleBytes / 1024 / 1024)} MB, grown by ${Math.round(grownMegabytes)} MB`)
  // V8 lets tens of megabytes of sent buffers gather. In the long run a whole body would be more than this.
  assert.ok(grownMegabytes < 150, `grown by ${grownMegabytes} MB`)
  assert.ok(!existsSync(`${gateway.dataDir}/log.db`))
  await drained(server, 60_000)
})
