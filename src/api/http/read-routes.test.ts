import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get } from 'node:http'
import { type TestContext, test } from 'node:test'
import { MillraceError } from '../../errors.ts'
import type { EventName } from '../../pipeline/administration.ts'
import { Health } from '../../telemetry/health.ts'
import { eventually } from '../eventually.test-support.ts'
import { ask, post, startTestServer } from './http-client.test-support.ts'

test('landed events are listed newest first, with their data byte for byte', async (t) => {
  const { url } = await startTestServer(t)
  const data = '{"n":12345678901234567890,"e":1e399, "s":"\\u00e9"}'
  await post(url, `{"type":"first","id":"0193-x","time":"2026-11-21T09:30:00.5Z","data":${data}}`)
  await post(url, {
    type: 'second',
    id: '01930000-0000-7000-8000-000000000001',
    source: '/s',
    subject: 'x',
    key: 'k',
    priority: 'high',
    data_base64: '/9j/4A==',
    data_content_type: 'image/jpeg',
    attributes: { a: 'b' },
  })
  await post(url, { type: 'third', id: 'no-data' })

  const answer = await ask(`${url}/v1/events`)

  assert.equal(answer.status, 200)
  assert.ok(answer.text.includes(`"data":${data}`), answer.text)
  assert.equal(answer.json.next_cursor, null)
  const [third, second, first] = answer.json.events
  assert.deepEqual([third?.type, third?.data, third?.data_base64], ['third', undefined, undefined])
  assert.deepEqual(
    { ...second, received_at: '', time: '' },
    {
      event_id: '01930000-0000-7000-8000-000000000001',
      id: '01930000-0000-7000-8000-000000000001',
      source: '/s',
      type: 'second',
      subject: 'x',
      time: '',
      received_at: '',
      topic: 'events',
      priority: 'high',
      key: 'k',
      data_content_type: 'image/jpeg',
      attributes: { a: 'b' },
      data_base64: '/9j/4A==',
    },
  )
  assert.equal(first?.time, '2026-11-21T09:30:00.500000Z')
  assert.match(String(first?.received_at), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  assert.match(String(first?.event_id), /^[0-9a-f]{8}-[0-9a-f]{4}-5/)
})

test('events can be filtered, and paged with a cursor', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  await post(
    url,
    Array.from({ length: 5 }, (_, n) => ({ type: n % 2 === 0 ? 'even' : 'odd', source: `/s${n}`, data: n })),
  )
  const between = new Date(Math.floor(pipeline.events[0]!.receivedAtMicros / 1000) + 5000).toISOString()

  const page = await ask(`${url}/v1/events?type=even&limit=2`)
  const rest = await ask(`${url}/v1/events?type=even&limit=2&cursor=${page.json.next_cursor}`)

  const dataOf = (answer: typeof page) => answer.json.events.map(({ data }) => data)
  assert.deepEqual([dataOf(page), dataOf(rest), rest.json.next_cursor], [[4, 2], [0], null])
  assert.deepEqual(dataOf(await ask(`${url}/v1/events?source=/s3`)), [3])
  assert.deepEqual(dataOf(await ask(`${url}/v1/events?since=${between}`)), [])
  assert.equal(dataOf(await ask(`${url}/v1/events?until=${between}`)).length, 5)
})

/** Landed events of 500 KB, of which one read returns two at most. */
async function withLargeEvents(t: TestContext, count: number, options: Parameters<typeof startTestServer>[1] = {}) {
  const server = await startTestServer(t, options)
  const data = 'x'.repeat(500_000)
  for (let n = 0; n < count; n++) await post(server.url, { type: 'large', id: `${n}`, data })
  const { pipeline } = server
  const list = pipeline.listEvents.bind(pipeline)
  const limits: number[] = []
  pipeline.listEvents = (query) => {
    limits.push(query.limit)
    return list({ ...query, limit: Math.min(query.limit, 2) })
  }
  return { ...server, limits }
}

const idsOf = ({ json }: Awaited<ReturnType<typeof ask>>) => json.events.map(({ id }) => Number(id))
const descending = (from: number, to: number) => Array.from({ length: from - to + 1 }, (_, n) => from - n)

test('a page of large events is read in small steps and ends at 8 MiB, with a cursor', async (t) => {
  const { url, limits } = await withLargeEvents(t, 20)

  const page = await ask(`${url}/v1/events?limit=1000`)
  const rest = await ask(`${url}/v1/events?limit=1000&cursor=${page.json.next_cursor}`)

  assert.deepEqual(idsOf(page), descending(19, 2))
  assert.deepEqual(limits, [100, 4, 4, 4, 4, 4, 4, 4, 4, 100])
  assert.deepEqual([idsOf(rest), rest.json.next_cursor], [[1, 0], null])
  assert.deepEqual(idsOf(await ask(`${url}/v1/events?limit=5`)), descending(19, 15))
})

test('a page whose later read fails ends there, with a cursor to continue and a line in the log', async (t) => {
  const { url, pipeline, limits, log } = await withLargeEvents(t, 6)
  const list = pipeline.listEvents
  pipeline.listEvents = (query) =>
    limits.length < 2 ? list(query) : Promise.reject(new MillraceError('unavailable', 'the database is unreachable'))

  const page = await ask(`${url}/v1/events`)
  pipeline.listEvents = list
  const rest = await ask(`${url}/v1/events?cursor=${page.json.next_cursor}`)

  assert.deepEqual([page.status, idsOf(page), idsOf(rest)], [200, descending(5, 2), [1, 0]])
  const logged = log.lines.map(({ status, code, reason }) => [status, code, reason])
  assert.deepEqual(logged, [[200, 'unavailable', 'the database is unreachable']])
})

test('16 pages are open at once; others wait for one to end, and all are answered', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const gate = Promise.withResolvers<void>()
  let reads = 0
  const list = pipeline.listEvents.bind(pipeline)
  pipeline.listEvents = async (query) => {
    reads++
    await gate.promise
    return await list(query)
  }

  const vanishing = get(`${url}/v1/events`)
  vanishing.on('error', () => {})
  const pages = Array.from({ length: 15 }, () => ask(`${url}/v1/events`))
  await eventually(() => reads === 16)
  const vanishingUnread = get(`${url}/v1/events`)
  vanishingUnread.on('error', () => {})
  await once(vanishingUnread, 'finish')
  pages.push(...Array.from({ length: 5 }, () => ask(`${url}/v1/events`)))
  assert.equal((await ask(`${url}/livez`)).status, 200)
  for (const { socket } of [vanishing, vanishingUnread]) socket!.resetAndDestroy()
  assert.equal((await ask(`${url}/livez`)).status, 200)
  assert.equal(reads, 16)
  gate.resolve()

  for (const page of await Promise.all(pages)) assert.equal(page.status, 200)
  // None for the client that was gone before its turn.
  assert.equal(reads, 21)
})

test('a client that takes nothing of its page is cut off, and its place is free for others', async (t) => {
  const { url } = await withLargeEvents(t, 20, { times: { maxIdleMs: 200 } })
  const idle = Array.from({ length: 16 }, () => get(`${url}/v1/events?limit=1000`))
  for (const request of idle) {
    // Nobody reads the answer.
    const [answer] = await once(request, 'response')
    answer.on('error', () => {})
  }

  const startedAtMs = performance.now()
  const { status } = await ask(`${url}/v1/events?limit=1`)

  assert.equal(status, 200)
  assert.ok(performance.now() - startedAtMs < 5000)
  for (const request of idle) request.destroy()
})

test('a + in a time means +, also where it is not percent-encoded', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  await post(url, { type: 'a' })
  const inUtc = (shiftHours: number) =>
    new Date(pipeline.events[0]!.receivedAtMicros / 1000 + shiftHours * 3_600_000).toISOString().slice(0, 19)
  const count = async (query: string) => (await ask(`${url}/v1/events?${query}`)).json.events.length

  for (const plus of ['+', '%2B', '%2b']) {
    assert.equal(await count(`since=${inUtc(2)}${plus}02:00`), 1)
    assert.equal(await count(`since=${inUtc(2)}${plus}01:00`), 0)
  }
  const spaced = await ask(`${url}/v1/events?since=2026-11-21+09:30`)
  assert.deepEqual([spaced.status, spaced.json.field], [400, 'since'])
})

for (const [query, field] of [
  ['limit=0', 'limit'],
  ['limit=1001', 'limit'],
  ['limit=1e2', 'limit'],
  ['limit=', 'limit'],
  ['since=yesterday', 'since'],
  ['until=1795253400', 'until'],
  ['types=a', 'types'],
  ['type=a&type=b', 'type'],
  ['cursor=x', 'cursor'],
] as const) {
  test(`GET /v1/events?${query} is 400 naming ${field}`, async (t) => {
    const { url } = await startTestServer(t)

    const answer = await ask(`${url}/v1/events?${query}`)

    assert.deepEqual([answer.status, answer.json.code, answer.json.field], [400, 'invalid_event', field])
  })
}

test('while the store is unreachable listing is 503', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  pipeline.storeFailure = new MillraceError('unavailable', 'the database is unreachable')

  const answer = await ask(`${url}/v1/events`)

  assert.deepEqual([answer.status, answer.json.code, answer.headers.get('retry-after')], [503, 'unavailable', '1'])
})

test('the status has the names of docs/http.md, and null for unknown values', async (t) => {
  const { url } = await startTestServer(t)

  const { json } = await ask(`${url}/v1/status`)

  assert.deepEqual(json, {
    version: '1.2.3',
    uptime_seconds: 12.5,
    durability: 'disk',
    log: { driver: 'embedded', epoch: 1 },
    store: { driver: 'sqlite', up: true },
    state: 'degraded',
    causes: [{ component: 'log', reason: 'disk_full', message: 'the disk is full' }],
    topics: [
      {
        name: 'events',
        partitions: 1,
        groups: [
          {
            name: 'landing',
            types: [],
            waiting: 3,
            ready: 2,
            scheduled: 0,
            held: 0,
            in_flight: 1,
            skipped: 0,
            oldest_waiting_seconds: 0.25,
            state: { is: 'running', by: null, reason: null, since: null },
          },
        ],
      },
    ],
    ledger: [
      {
        topic: 'events',
        group: 'landing',
        accepted: 10,
        reopened: 0,
        waiting: 3,
        landed: 7,
        dead: 0,
        lost: 0,
        balanced: null,
      },
    ],
    processes: [
      {
        ...{ id: 'p-1', roles: ['ingest', 'worker'], host: 'mill', version: '1.2.3' },
        started_at: '2026-11-18T11:06:40.000000Z',
      },
    ],
    subscribers: null,
    workers: 1,
  })
})

test('readiness follows the health, and verbose names each part', async (t) => {
  const health = new Health(['log'])
  const { url, log } = await startTestServer(t, { health })

  const starting = await ask(`${url}/readyz?verbose`)
  health.report('log', null)
  const ready = await ask(`${url}/readyz`)
  health.report('store', { reason: 'unavailable', message: 'busy' })
  const degraded = await ask(`${url}/healthz?verbose`)
  health.startDraining()
  const draining = await ask(`${url}/readyz`)

  assert.deepEqual([starting.status, starting.json.code, starting.json.ready], [503, 'unavailable', false])
  assert.equal(starting.json.detail, 'not ready: log')
  assert.deepEqual([ready.status, ready.json], [200, { ready: true, state: 'ready', causes: [] }])
  assert.equal(degraded.status, 200)
  const causes = [{ component: 'store', reason: 'unavailable', message: 'busy' }]
  const components = [
    { name: 'log', state: 'up' },
    { name: 'store', state: 'degraded' },
  ]
  assert.deepEqual(degraded.json, { ready: true, state: 'degraded', causes, components })
  assert.deepEqual([draining.status, draining.json.code, draining.json.state], [503, 'draining', 'unready'])
  assert.deepEqual([draining.json.causes, draining.json.components], [causes, undefined])
  assert.equal((await ask(`${url}/livez`)).status, 200)
  assert.deepEqual(log.lines, [])
})

test('metrics, version and the welcome page are served', async (t) => {
  const { url, address } = await startTestServer(t)

  const metrics = await ask(`${url}/metrics`)
  const open = await ask(`${url}/metrics`, { headers: { accept: 'application/openmetrics-text' } })
  const version = await ask(`${url}/version`)
  const welcome = await ask(`${url}/`)

  assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  assert.match(metrics.text, /millrace_publish_duration_seconds_count\{transport="http"\} 0/)
  assert.match(open.headers.get('content-type') ?? '', /^application\/openmetrics-text/)
  assert.deepEqual(version.json, { version: '1.2.3', commit: null, node: process.version })
  assert.match(welcome.text, new RegExp(`curl -i http://${address}/v1/events`))
})

test('every GET route supports HEAD', async (t) => {
  const { url } = await startTestServer(t)

  for (const path of ['/v1/events', '/v1/status', '/livez', '/readyz', '/healthz', '/metrics', '/version', '/']) {
    const answer = await ask(url + path, { method: 'HEAD' })
    assert.deepEqual([answer.status, answer.text], [200, ''], path)
  }
})

test('an event can be read by any possible id', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const asked: EventName[] = []
  pipeline.administration.journey = (name) => {
    asked.push(name)
    return Promise.reject(new MillraceError('not_found', 'there is none', { field: 'id' }))
  }
  const ids = ['a', 'a/b c?', '\u00e9'.repeat(127), '__proto__']
  for (const id of ids) {
    const answer = await ask(`${url}/v1/events/${encodeURIComponent(id)}?source=%2Fs`)
    assert.deepEqual([answer.status, answer.json.code], [404, 'not_found'])
  }
  assert.deepEqual(
    asked,
    ids.map((id) => ({ id, source: '/s' })),
  )
})
