// Agents: heartbeats go the way of every event, and the group "agents" keeps the table of those that have sent them.

import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import { EventIdGenerator, isUuid } from '../../src/event/event.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { backends, inLongRun } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { type HttpAnswer, request } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { runCommand } from '../support/run-command.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { drained } from '../support/tally.ts'

interface AgentBody {
  readonly agent_id: string
  readonly last_seen: string
  readonly online: boolean
  readonly metadata: Record<string, unknown>
}

interface PageBody {
  readonly agents: readonly AgentBody[]
  readonly next_cursor: string | null
}

const trace = { trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', span_id: '00f067aa0ba902b7' }
const traceparent = `00-${trace.trace_id}-${trace.span_id}-01`

function beat(server: InProcessServer, body: unknown): Promise<HttpAnswer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  // Hundreds at once, on a busy machine.
  const signal = AbortSignal.timeout(60_000)
  return request(server.http, '/v1/heartbeats', { method: 'POST', body: text, headers: { traceparent }, signal })
}

async function pageOf(server: InProcessServer, query = ''): Promise<PageBody> {
  const { status, text } = await request(server.http, `/v1/agents${query}`)
  assert.equal(status, 200, text)
  return JSON.parse(text)
}

async function linesOf(server: InProcessServer) {
  const lines = (await server.ledger()).filter(({ topic }) => topic === 'heartbeats')
  return lines.sort((a, b) => a.group.localeCompare(b.group))
}

for (const backend of backends('embedded', 'redis', 'cluster')) {
  test(`500 agents that beat at once are listed in pages, and one that falls silent is offline (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const offlineMs = 2000
    const server = await startInProcess(t, { ...home, env: { ...home.env, MILLRACE_AGENT_OFFLINE_MS: `${offlineMs}` } })
    const client = clientOf(t, server)
    const ids = Array.from({ length: 500 }, (_, at) => `edge-${String(at).padStart(3, '0')}`)
    await client.status()
    const sentAt = Date.now()
    await Promise.all(
      ids.map(async (agentId, at) => {
        if (at % 10 !== 1) await client.heartbeat({ agentId, metadata: { at, zone: 'a"b' } })
        else assert.equal((await beat(server, { agent_id: agentId, metadata: { at, zone: 'a"b' } })).status, 202)
      }),
    )

    const found: AgentBody[] = []
    await eventually(async () => {
      found.length = 0
      for (let cursor: string | null = ''; cursor !== null; ) {
        const page: PageBody = await pageOf(server, `?limit=130${cursor === '' ? '' : `&cursor=${cursor}`}`)
        found.push(...page.agents)
        cursor = page.next_cursor
      }
      assert.equal(found.length, ids.length)
    })
    assert.deepEqual(
      found.map(({ agent_id, metadata }) => [agent_id, metadata]),
      ids.map((agentId, at) => [agentId, { at, zone: 'a"b' }]),
    )
    for (const { last_seen } of found) {
      const seenAt = Date.parse(last_seen)
      assert.ok(seenAt >= sentAt && seenAt <= Date.now(), last_seen)
    }

    const [silent, ...others] = ids as [string, ...string[]]
    await eventually(
      async () => {
        await client.heartbeat({ agentId: others[0]!, metadata: { at: -1 } })
        const { agents } = await client.agents({ limit: 2 })
        assert.deepEqual(
          agents.map(({ agentId, online, metadata }) => [agentId, online, metadata]),
          [
            [silent, false, { at: 0, zone: 'a"b' }],
            [others[0], true, { at: -1 }],
          ],
        )
      },
      { withinMs: 15_000 },
    )
    assert.ok(Date.now() - Date.parse(found[0]!.last_seen) >= offlineMs)
    const printed = await runCommand(['agents', '--limit', '2', '--address', server.grpc], { dataDir: server.dataDir })
    assert.match(printed.stdout, /^edge-000 +offline +\d+\.\d s ago +\{"at":0,"zone":"a\\"b"\}$/m)
    assert.match(printed.stdout, /^edge-001 +online /m)
    assert.match(printed.stderr, /there are more/)

    await eventually(async () => {
      for (const { group, waiting, dead, balanced } of await linesOf(server))
        assert.deepEqual([group, waiting, dead, balanced], [group, 0, 0, true])
    })
    assert.deepEqual(
      (await linesOf(server)).map(({ group }) => group),
      ['agents', 'landing'],
    )
    const [row] = await home.query(`SELECT id, type, source, key FROM landed WHERE subject = '${silent}'`)
    assert.deepEqual([row?.type, row?.source, row?.key], ['agent.heartbeat', '/agents', silent])
  })
}

for (const backend of backends('embedded', ...inLongRun('redis'))) {
  test(`a bad heartbeat is refused with its field, and its log line names agent and trace (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, home)
    const long = 'x'.repeat(1024 * 1024)
    const bad: readonly [unknown, string, RegExp][] = [
      [{ agent_id: long }, 'agent_id', /^agent_id has 1048576 bytes or more; it takes 1 to 255$/],
      [{ agent_id: 'é'.repeat(128) }, 'agent_id', /^agent_id has 256 bytes or more/],
      [{ agent_id: '' }, 'agent_id', /is empty/],
      [{ agent_id: 'a\nb' }, 'agent_id', /control character/],
      [{ metadata: {} }, 'agent_id', /is missing/],
      [{ agent_id: 'a', metadata: [1] }, 'metadata', /must be a JSON object/],
      [{ agent_id: 'a', metadata: null }, 'metadata', /must be a JSON object/],
      [{ agent_id: 'a', metadata: { text: long } }, 'metadata', /the limit is 16384/],
      [{ agent_id: 'a', metadata: { text: '\0' } }, 'metadata', /escape/],
      [`{"agent_id":"a","metadata":{"n":1e99999}}`, 'metadata', /number/],
      [{ agent_id: 'a', time: 'today' }, 'time', /RFC 3339/],
      [{ agent_id: 'a', extra: 1 }, 'extra', /a heartbeat has agent_id, time, metadata/],
    ]
    for (const [body, field, message] of bad) {
      const { status, text } = await beat(server, body)
      const problem = JSON.parse(text)
      assert.deepEqual([status, problem.code, problem.field], [400, 'invalid_event', field], text)
      assert.match(problem.detail, message)
    }
    const lines = server.logLines().filter(({ route }) => route === '/v1/heartbeats')
    assert.deepEqual(
      lines.map(({ level, trace_id }) => [level, trace_id]),
      bad.map(() => ['warn', trace.trace_id]),
    )
    assert.deepEqual(
      lines.slice(5).map(({ agent_id }) => agent_id),
      lines.slice(5).map(() => 'a'),
    )

    const client = clientOf(t, server)
    const refusedWith = (field: string) => (error: unknown) =>
      error instanceof MillraceError && error.code === 'invalid_event' && error.field === field
    await assert.rejects(client.heartbeat({ agentId: long }), refusedWith('agent_id'))
    await assert.rejects(client.heartbeat({ agentId: 'a', metadata: ['array'] }), refusedWith('metadata'))
    await assert.rejects(client.heartbeat({ agentId: 'a', metadata: { text: '\0' } }), refusedWith('metadata'))
    await assert.rejects(client.agents({ limit: 1001 }), refusedWith('limit'))
    await assert.rejects(client.agents({ cursor: 'AAAA' }), refusedWith('cursor'))
    const calls = server.logLines().filter(({ method }) => method === 'millrace.v1.AgentService/Heartbeat')
    assert.deepEqual(calls.at(-1)?.agent_id, 'a')

    // None of them is in the log.
    for (const { accepted } of await linesOf(server)) assert.equal(accepted, 0)
  })

  test(`heartbeats that are published as events count, and bad ones become dead letters (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, home)
    const client = clientOf(t, server)
    const event = { type: 'agent.heartbeat', subject: 'good', data: { n: 12 } }
    const verdict = await client.publishEvents(
      [
        { ...event, data: { n: 1 } },
        { ...event, subject: '' },
        { ...event, data: 'text' },
        { ...event, data: Buffer.from('{'), dataContentType: 'text/plain' },
        { ...event, type: 'note' },
        { type: 'agent.heartbeat', subject: 'bare' },
        event,
      ],
      { topic: 'heartbeats' },
    )
    assert.equal(verdict.accepted, 7)

    await eventually(async () => {
      const { agents } = await client.agents()
      assert.deepEqual(
        agents.map(({ agentId, metadata }) => [agentId, metadata]),
        [
          ['bare', {}],
          ['good', { n: 12 }],
        ],
      )
      const { deadLetters } = await client.administration.listDeadLetters({ limit: 10, group: 'agents' })
      assert.deepEqual(deadLetters.map(({ code, message }) => `${code}: ${message}`).sort(), [
        'invalid_event: data must be a JSON object',
        'invalid_event: data_content_type must be that of JSON',
        'invalid_event: subject is empty; it takes 1 to 255 bytes',
      ])
      const lines = await linesOf(server)
      assert.deepEqual(
        lines.map(({ group, landed, dead, balanced }) => [group, landed, dead, balanced]),
        [
          ['agents', 4, 3, true],
          ['landing', 7, 0, true],
        ],
      )
    })
  })
}

test('while the database is away heartbeats are accepted, the group waits, and the list says why it is not there', async (t) => {
  const postgres = await sharedPostgres()
  const url = new URL(await postgres.createDatabase())
  t.after(() => postgres.dropDatabase(url.href))
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${postgres.port}`)
  const behind = new URL(url.href)
  behind.host = proxy.address
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: behind.href } })
  const client = clientOf(t, server)
  await client.heartbeat({ agentId: 'before' })
  await eventually(async () => assert.equal((await client.agents()).agents.length, 1))
  await drained(server)

  proxy.refuse = true
  proxy.cut()
  await client.heartbeat({ agentId: 'during', metadata: { n: 1 } })
  assert.equal((await beat(server, { agent_id: 'during', metadata: { n: 2 } })).status, 202)
  await assert.rejects(client.agents(), (error) => error instanceof MillraceError && error.code === 'unavailable')
  assert.equal((await request(server.http, '/v1/agents')).status, 503)
  await eventually(async () => {
    const { topics } = await client.status()
    const groups = topics.find(({ name }) => name === 'heartbeats')!.groups
    assert.deepEqual(
      groups.map(({ name, waiting, state }) => [name, waiting, state.is]),
      [
        ['landing', 2, 'outage'],
        ['agents', 2, 'outage'],
      ],
    )
  })

  proxy.heal()
  await eventually(
    async () => {
      const { agents } = await client.agents()
      assert.deepEqual(
        agents.map(({ agentId, metadata }) => [agentId, metadata]),
        [
          ['before', {}],
          ['during', { n: 2 }],
        ],
      )
    },
    { withinMs: 20_000 },
  )
  for (const { dead } of await linesOf(server)) assert.equal(dead, 0)
})

test('a heartbeat has a UUIDv7, the time and the trace that the agent gave, and one line at debug', async (t) => {
  const before = new EventIdGenerator().next()
  const lines: string[] = []
  const destination = new Writable({
    write: (line, _encoding, done) => {
      lines.push(String(line))
      done()
    },
  })
  const server = await startInProcess(t, { logger: createLogger({ level: 'debug', destination, pretty: false }) })
  const body = '{"agent_id":"edge-7","time":"2026-01-02T03:04:05.678901Z","metadata":{"big":12345678901234567890}}'
  assert.equal((await beat(server, body)).status, 202)
  const logged = lines.map((line) => JSON.parse(line)).filter(({ agent_id }) => agent_id !== undefined)
  assert.deepEqual(
    logged.map(({ level, agent_id, trace_id, message }) => [level, agent_id, trace_id, message]),
    [['debug', 'edge-7', trace.trace_id, 'heartbeat accepted']],
  )
  const event = await eventually(async () => {
    const { text } = await request(server.http, '/v1/events?type=agent.heartbeat')
    const [found] = JSON.parse(text).events
    assert.ok(found !== undefined && text.includes('12345678901234567890'))
    return found
  })
  assert.ok(isUuid(event.id) && event.id > before, event.id)
  assert.deepEqual([event.time, event.attributes], ['2026-01-02T03:04:05.678901Z', { traceparent }])
  const { text } = await request(server.http, '/v1/agents')
  assert.match(text, /"metadata":\{"big":12345678901234567890\}/)
})
