import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { backends } from '../support/backend.ts'
import { order, orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { getReadiness, getStatus, listEvents, metricsOf, postJson, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { assertTidy } from '../support/leaks.ts'
import { spawnLockHolder } from '../support/lock-holder.ts'
import { publish } from '../support/publish.ts'
import { runCommand } from '../support/run-command.ts'
import { skip } from '../support/skip.ts'
import { drained } from '../support/tally.ts'

const both = backends('embedded', 'redis')

for (const backend of both)
  test(`a running server reports its state and its events (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const isEmbedded = backend.name === 'embedded'
    const server = await startInProcess(t, { ...home, topics: ['orders:2'] })
    const grpc = grpcClient(t, server)
    await publish(server, 'orders', orders(30))
    await publish(server, 'events', orders(12))
    await drained(server)

    await t.test('GET /v1/status has every field of the contract, and the ledger balances', async () => {
      const whole = await getStatus(server.http)
      const { version, uptime_seconds: uptimeSeconds, subscribers, workers, processes, ...status } = whole
      assert.match(version, /^\d+\.\d+\.\d+/)
      assert.ok(uptimeSeconds > 0 && uptimeSeconds < 60)
      assert.deepEqual(
        processes.map(({ roles, host }) => [roles, host]),
        [[['ingest', 'worker'], hostname()]],
      )
      const group = {
        name: 'landing',
        types: [],
        waiting: 0,
        ready: 0,
        scheduled: 0,
        held: 0,
        in_flight: 0,
        skipped: 0,
        oldest_waiting_seconds: null,
        state: { is: 'running', by: null, reason: null, since: null },
      }
      const line = (topic: string, events: number) => ({
        topic,
        group: 'landing',
        accepted: events,
        reopened: 0,
        waiting: 0,
        landed: events,
        dead: 0,
        lost: 0,
        balanced: true,
      })
      const own = (name: string): boolean => !name.startsWith('_')
      assert.deepEqual(
        {
          ...status,
          topics: status.topics.filter(({ name }) => own(name)).toSorted((a, b) => a.name.localeCompare(b.name)),
          ledger: status.ledger.filter(({ topic }) => own(topic)).toSorted((a, b) => a.topic.localeCompare(b.topic)),
        },
        {
          durability: backend.durability,
          log: { driver: backend.name, epoch: status.log.epoch },
          store: { driver: isEmbedded ? 'sqlite' : 'postgres', up: true },
          state: 'ready',
          causes: [],
          topics: [
            { name: 'events', partitions: 1, groups: [group] },
            { name: 'heartbeats', partitions: 1, groups: [group, { ...group, name: 'agents' }] },
            { name: 'orders', partitions: 2, groups: [group] },
          ],
          ledger: [
            line('events', 12),
            line('heartbeats', 0),
            { ...line('heartbeats', 0), group: 'agents' },
            line('orders', 30),
          ],
        },
      )
      assert.equal(typeof status.log.epoch, 'number')
      for (const count of [subscribers, workers]) assert.ok(count === null || Number.isInteger(count))
    })

    await t.test('millrace status prints the same document, and GetStatus returns the same', async () => {
      const { code, stdout } = await runCommand(['status', '--output', 'json'], { dataDir: server.dataDir })
      assert.equal(code, 0)
      const { ledger } = JSON.parse(stdout) as Awaited<ReturnType<typeof getStatus>>
      assert.deepEqual(
        ledger.filter(({ group }) => group === 'landing'),
        (await getStatus(server.http)).ledger.filter(({ group }) => group === 'landing'),
      )
      const status = await grpc.status()
      const orderLine = status.ledger.find(({ topic }) => topic === 'orders')
      assert.deepEqual([orderLine?.accepted, orderLine?.landed, orderLine?.balanced], [30n, 30n, true])
    })

    if (isEmbedded)
      await t.test('sqlite3 -readonly reads the rows while the server runs', (s) => {
        const result = spawnSync('sqlite3', [
          '-readonly',
          join(server.dataDir, 'store.db'),
          'SELECT count(*) FROM events',
        ])
        if (result.error !== undefined) return skip(s, 'sqlite3 is not installed')
        assert.deepEqual([result.status, String(result.stdout).trim(), String(result.stderr)], [0, '42', ''])
      })

    await t.test('the server is alive, ready, healthy and reports its version, over HTTP and gRPC', async () => {
      for (const path of ['/livez', '/readyz', '/healthz']) assert.equal((await request(server.http, path)).status, 200)
      const version = JSON.parse((await request(server.http, '/version')).text)
      assert.deepEqual(Object.keys(version).toSorted(), ['commit', 'node', 'version'])
      assert.equal(version.node, process.version)
      assert.equal(await grpc.health(), 1)
      assert.equal(await grpc.health('millrace.v1.IngestService'), 1)
      await assert.rejects(grpc.health('nobody.Service'), { code: 5 })
      const verbose = await request(server.http, '/readyz?verbose')
      assert.match(verbose.text, /log/)
    })

    await t.test('the counters of /metrics equal the ledger', async () => {
      const { text, headers } = await request(server.http, '/metrics')
      assert.match(headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
      assert.match(text, /^millrace_log_ledger_events_total\{topic="orders",group="landing",term="accepted"\} 30$/m)
      assert.match(text, /^millrace_ledger_balanced\{topic="orders",group="landing"\} 1$/m)
      assert.match(text, /^millrace_log_waiting_events\{topic="orders",group="landing"\} 0$/m)
    })

    await t.test(
      'fault O10: the number of metrics does not grow with the types, sources and keys that producers choose',
      async () => {
        // Series of the runtime, such as one for each kind of garbage collection, appear when it first does something.
        const series = (text: string): number => text.split('\n').filter((line) => line.startsWith('millrace_')).length
        const before = series(await metricsOf(server))
        const events = Array.from({ length: 5000 }, (_, n) => ({ type: `t${n}`, source: `/s${n}`, key: `k${n}` }))
        await publish(server, 'events', events)
        await drained(server)
        const text = await metricsOf(server)
        assert.ok(series(text) <= before + 20, `${before} series became ${series(text)}`)
        assert.ok(text.length < 1_000_000)
      },
    )

    await t.test('GET /v1/events lists landed events, newest first, page by page, each once', async () => {
      await sleep(5)
      await publish(server, 'events', [order(1, { type: 'last', source: '/pages' })])
      await drained(server)
      const seen: string[] = []
      const times: string[] = []
      for (let cursor: string | null = ''; cursor !== null; ) {
        const query: string = `limit=100${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`
        const page = await listEvents(server.http, query)
        seen.push(...page.events.map((event) => event.event_id))
        times.push(...page.events.map((event) => event.received_at))
        cursor = page.next_cursor
      }
      assert.equal(seen.length, 5043)
      assert.equal(new Set(seen).size, 5043)
      assert.deepEqual(times, times.toSorted().toReversed())
      const [last] = (await listEvents(server.http, 'limit=1000&type=last&source=/pages')).events
      assert.equal(last?.event_id, seen[0])
      for (const bad of ['limit=0', 'limit=1001', 'limit=x', 'cursor=x', 'since=never', 'colour=red']) {
        assert.equal((await request(server.http, `/v1/events?${bad}`)).status, 400, bad)
      }
    })

    await t.test('unknown paths and methods return a problem document with the right status', async () => {
      const missing = await request(server.http, '/v2/nothing')
      assert.equal(missing.status, 404)
      assert.match(missing.headers.get('content-type') ?? '', /^application\/problem\+json/)
      const wrongMethod = await request(server.http, '/v1/status', { method: 'DELETE' })
      assert.equal(wrongMethod.status, 405)
      assert.match(wrongMethod.headers.get('allow') ?? '', /GET/)
    })
  })

for (const backend of both)
  test(`a server that is stopped finishes its calls, exits 0, and leaves unfinished work for the next server (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, { ...home, env: { ...home.env, MILLRACE_ROLES: 'ingest' } })
    await publish(server, 'events', orders(500))
    await server.stop()
    if (backend.name === 'embedded') assertTidy(server.dataDir)
    const second = await startInProcess(t, home)
    const [line] = await drained(second)
    assert.deepEqual([line?.accepted, line?.landed, line?.balanced], [500, 500, true])
    const { events } = await listEvents(second.http, 'limit=1000')
    assert.equal(events.length, 500)
  })

test('a store that another process has locked delays landing and loses nothing', async (t) => {
  const server = await startInProcess(t)
  await publish(server, 'events', orders(5))
  await drained(server)
  const holder = spawnLockHolder(t, join(server.dataDir, 'store.db'))
  await eventually(() => assert.match(holder.printed(), /locked/))
  const answer = await postJson(
    server.http,
    orders(20).map(({ id, source, type }) => ({ id, source, type: type ?? 't' })),
  )
  assert.equal(answer.status, 202, 'ingest continues')
  await eventually(async () => {
    const { status, state, causes } = await getReadiness(server.http)
    assert.deepEqual([status, state], [200, 'degraded'], 'a store outage alone does not make ingest unready')
    const landing = causes.find(({ component }) => component === 'landing')
    assert.match(
      landing?.message ?? '',
      /^landing of events: outage since 2\S+Z: the event store is locked by another program/,
    )
  })
  holder.release()
  const [line] = await drained(server, 20_000)
  assert.deepEqual([line?.landed, line?.dead], [25, 0])
})
