// The routes that show a server to people and let them act: groups, workers, replay, the history, what has an id.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from '../../src/client/connect.ts'
import { type KeyRequest, scopes } from '../../src/pipeline/keys.ts'
import { backends } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { getStatus, request } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf, publish } from '../support/publish.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

/** Sends a request, with a body as JSON, and parses the answer. */
async function call(
  { http }: { readonly http: string },
  route: string,
  {
    body,
    key,
    headers,
  }: { readonly body?: unknown; readonly key?: string; readonly headers?: Record<string, string> } = {},
) {
  const [method = '', path = ''] = route.split(' ')
  const { status, text } = await request(http, path, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status, json: JSON.parse(text) }
}

/** A server that asks for keys, and a function that makes them. */
async function withKeys(t: Parameters<typeof startInProcess>[0], topics: string[] = []) {
  const server = await startInProcess(t, { env: { MILLRACE_AUTH: 'keys' }, topics })
  const admin = connect({ addresses: [server.grpc], key: adminKeyOf(server) })
  cleanup(t, () => admin.close())
  const keyOf = async (name: string, limits: Partial<KeyRequest> = {}) =>
    (await admin.keys.create({ name, scopes, ...limits })).key
  return { server, keyOf, adminKey: adminKeyOf(server) }
}

const adminKeyOf = ({ dataDir }: InProcessServer) => readFileSync(join(dataDir, 'admin.key'), 'utf8').trim()

for (const backend of backends('embedded', 'redis')) {
  test(`a group is listed with its workers, and deleted with what waits for it (${backend.name})`, async (t) => {
    const server = await startInProcess(t, await backend.home(t))
    const worker = grpcClient(t, server).consume()
    cleanup(t, () => worker.call.cancel())
    worker.send({ join: { group: 'billing', maxInFlight: 2, types: ['order.*'], maxAttempts: 3, limitPerKey: 7 } })
    await worker.joined
    await publish(server, 'events', orders(5))
    await eventually(() => assert.equal(worker.deliveries.length, 2))

    const { workers } = (await call(server, 'GET /v1/workers')).json
    assert.equal(workers.length, 1)
    assert.match(workers[0].peer, /^127\.0\.0\.1:\d+$/)
    assert.ok(Math.abs(Date.parse(workers[0].since) - Date.now()) < 10_000, workers[0].since)
    const { peer: _, since: __, ...worked } = workers[0]
    assert.deepEqual(worked, { topic: 'events', group: 'billing', in_flight: 2, max_in_flight: 2 })

    const billing = await eventually(async () => {
      const { groups } = (await call(server, 'GET /v1/groups?topic=events')).json
      const found = groups.find(({ name }: { name: string }) => name === 'billing')
      assert.equal(found.waiting, 5)
      return found
    })
    assert.deepEqual([billing.topic, billing.types, billing.rate], ['events', ['order.*'], null])
    assert.deepEqual(billing.options, {
      ...{ ordered: false, timeout_ms: 30_000, max_attempts: 3, initial_delay_ms: 1000, max_delay_ms: 60_000 },
      ...{ on_exhausted: 'dead-letter', group_concurrency: null, rate_per_second: null, limit_per_key: 7 },
    })
    await call(server, 'POST /v1/groups/events/billing/resume', { body: { rate: 50 } })
    await eventually(async () => {
      const { groups } = (await call(server, 'GET /v1/groups')).json
      assert.equal(groups.find(({ name }: { name: string }) => name === 'billing').rate, 50)
    })

    worker.call.cancel()
    await eventually(async () => assert.deepEqual((await call(server, 'GET /v1/workers')).json, { workers: [] }))
    const deleted = await call(server, 'DELETE /v1/groups/events/billing')
    assert.deepEqual(deleted, { status: 200, json: { abandoned: 5 } })
    assert.equal((await call(server, 'DELETE /v1/groups/events/billing')).status, 404)
    const own = await call(server, 'DELETE /v1/groups/events/landing')
    assert.deepEqual([own.status, own.json.code], [400, 'failed_precondition'])
  })
}

test('settled events are counted and replayed to a group, in steps with a cursor', async (t) => {
  const server = await startInProcess(t)
  await publish(server, 'events', orders(30))
  await drained(server)

  const counted = await call(server, 'POST /v1/replay', { body: { dry_run: true } })
  const replayed = await call(server, 'POST /v1/replay', { body: { topic: 'events', group: 'landing', rate: 100_000 } })
  const none = await call(server, 'POST /v1/replay', { body: { since: '2126-01-01T00:00:00Z' } })
  const wrong = await call(server, 'POST /v1/replay', { body: { dryrun: true } })

  assert.deepEqual(counted, { status: 200, json: { replayed: 30, next_cursor: null } })
  assert.deepEqual(replayed, { status: 200, json: { replayed: 30, next_cursor: null } })
  assert.deepEqual(none.json, { replayed: 0, next_cursor: null })
  assert.deepEqual([wrong.status, wrong.json.field], [400, 'dryrun'])
  const ledger = (await drained(server)).find(({ topic }) => topic === 'events')
  assert.deepEqual([ledger?.reopened, ledger?.landed], [30, 60])
})

test('a key for some topics sees their groups and workers only', async (t) => {
  const { server, keyOf, adminKey } = await withKeys(t, ['orders'])
  const key = await keyOf('shop', { topics: ['orders'] })
  const topicsOf = async (of: string) => {
    const { groups } = (await call(server, 'GET /v1/groups', { key: of })).json
    const all: string[] = groups.map(({ topic }: { topic: string }) => topic)
    return [...new Set(all)].filter((topic) => !topic.startsWith('_request.'))
  }

  assert.deepEqual(await topicsOf(key), ['orders'])
  assert.ok((await topicsOf(adminKey)).includes('events'))
  assert.equal((await call(server, 'DELETE /v1/groups/events/landing', { key })).status, 404)
  assert.equal((await call(server, 'POST /v1/replay', { key, body: { topic: 'events' } })).status, 404)
  const reader = await keyOf('reader', { scopes: ['read'] })
  assert.equal((await call(server, 'POST /v1/replay', { key: reader, body: {} })).status, 403)
})

test('an id leads to everything that has it, as far as the caller may read it', async (t) => {
  const { server, keyOf, adminKey } = await withKeys(t, ['orders'])
  const id = '0193fa5c-0000-7000-8000-000000000001'
  const key = adminKey
  const find = async (what: string, of = key) => {
    const { status, json } = await call(server, `GET /v1/find/${encodeURIComponent(what)}`, { key: of })
    assert.equal(status, 200, JSON.stringify(json))
    return json.map(({ kind, href }: { kind: string; href: string }) => `${kind} ${href}`)
  }
  await call(server, 'POST /v1/events', { key, body: { type: 'order.placed', id } })
  await call(server, 'POST /v1/events', { key, body: { type: 'order.placed', id: 'a b/c' } })
  await call(server, 'POST /v1/requests/text.analyze', { key, body: 'one two', headers: { 'millrace-request-id': id } })
  await call(server, 'POST /v1/heartbeats', { key, body: { agent_id: 'edge-7' } })
  const upload = await request(server.http, '/v1/files', {
    method: 'POST',
    body: 'one two',
    headers: { 'millrace-file-id': id, authorization: `Bearer ${key}` },
  })
  assert.equal(upload.status, 201, upload.text)

  await eventually(async () =>
    assert.deepEqual(await find(id), [`event /v1/events/${id}`, `file /v1/files/${id}`, `request /v1/requests/${id}`]),
  )
  await eventually(async () => assert.deepEqual(await find('edge-7'), ['agent /v1/agents/edge-7']))
  const agent = await call(server, 'GET /v1/agents/edge-7', { key })
  assert.deepEqual([agent.json.agent_id, agent.json.online], ['edge-7', true])
  assert.equal((await call(server, 'GET /v1/agents/edge', { key })).status, 404)
  await eventually(async () => assert.deepEqual(await find('a b/c'), ['event /v1/events/a%20b%2Fc']))
  assert.deepEqual(await find('landing'), [
    ...['events', 'orders', 'heartbeats'].map((topic) => `group /v1/groups?topic=${topic}`),
  ])
  assert.deepEqual(await find('nothing'), [])
  const narrow = await keyOf('narrow', { topics: ['orders'], types: ['order.*'] })
  assert.deepEqual(await find(id, narrow), [])
  const reader = await keyOf('reader', { scopes: ['read'] })
  assert.deepEqual(await find(id, reader), [`event /v1/events/${id}`, `file /v1/files/${id}`])
  const keyId = reader.slice(3, 15)
  assert.deepEqual([await find(keyId), await find(keyId, reader)], [['key /v1/keys'], []])
})

test('the history has what was accepted in each second', async (t) => {
  const server = await startInProcess(t)
  await publish(server, 'events', orders(30))

  const history = await eventually(async () => {
    const { json } = await call(server, 'GET /v1/status/history')
    const sum = (values: (number | null)[]) => values.reduce((total: number, value) => total + (value ?? 0), 0)
    assert.deepEqual([sum(json.accepted), sum(json.landed), sum(json.dead)], [30, 30, 0])
    return json
  })
  const lengths = new Set(Object.values(history as Record<string, unknown[]>).map(({ length }) => length))
  assert.equal(lengths.size, 1)
  assert.ok(Math.abs(history.seconds.at(-1) - Date.now() / 1000) < 3, history.seconds.at(-1))
})

test('processes on one Redis see each other, until they stop', async (t) => {
  const [backend] = backends('redis')
  const home = await backend!.home(t)
  const start = (role: string) =>
    startInProcess(t, { dataDir: tempDirectory(t), env: { ...home.env, MILLRACE_ROLES: role } })
  const ingest = await start('ingest')
  const worker = await start('worker')
  const rolesAt = async ({ http }: { readonly http: string }) =>
    (await getStatus(http)).processes.map(({ roles }) => roles.join())

  await eventually(async () => assert.deepEqual(await rolesAt(worker), ['ingest', 'worker']))
  await eventually(async () => assert.deepEqual(await rolesAt(ingest), ['ingest', 'worker']))
  await worker.stop()

  await eventually(async () => assert.deepEqual(await rolesAt(ingest), ['ingest']))
  const { processes } = await clientOf(t, ingest).status()
  const [{ started_at: startedAt, ...same }] = (await getStatus(ingest.http)).processes as [
    Awaited<ReturnType<typeof getStatus>>['processes'][number],
  ]
  assert.deepEqual(processes, [{ ...same, startedAtMs: Date.parse(startedAt) }])
})
