// What happens to events that exceed the limit. Landing is off in these servers (MILLRACE_ROLES=ingest), so accepted
// events wait until a server with the role `worker` is started on the same log and database.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { ServiceError } from '@grpc/grpc-js'
import { Priority } from '../../src/gen/millrace/v1/event_pb.ts'
import { Overflow } from '../../src/gen/millrace/v1/ingest_pb.ts'
import { rejectedEvents } from '../../src/pipeline/rejections.ts'
import { backends, type Home } from '../support/backend.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient, type RawGrpcClient } from '../support/grpc-client.ts'
import { getStatus, metricsOf, postJson } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf, eventInput } from '../support/publish.ts'
import { drained, tally } from '../support/tally.ts'

const limit = 1000
const resourceExhausted = 8
const deadlineExceeded = 4

/** A server that accepts events and lands none. Settled entries are removed at once: there are none. */
function fillable(t: TestContext, home: Home, env: Record<string, string> = {}): Promise<InProcessServer> {
  return startInProcess(t, {
    dataDir: home.dataDir,
    topics: ['lanes:1', 'parallel:1', 'policies:1', 'waiting:1'],
    env: {
      ...home.env,
      MILLRACE_ROLES: 'ingest',
      MILLRACE_MAX_WAITING_EVENTS: String(limit),
      MILLRACE_RETENTION_MS: '0',
      MILLRACE_RETENTION_BYTES: '0',
      ...env,
    },
  })
}

/** Publishes ten events at a time until they are refused; returns how many were accepted, and the refusal. */
async function fill(grpc: RawGrpcClient, topic: string, priority: Priority): Promise<[number, ServiceError]> {
  for (let taken = 0; ; ) {
    try {
      const { accepted, rejections } = await grpc.publish({ topic, events: orders(10, { priority }) })
      assert.equal(Number(accepted) + rejectedEvents(rejections), 10)
      taken += Number(accepted)
    } catch (error) {
      return [taken, error as ServiceError]
    }
  }
}

for (const backend of backends('embedded', 'redis', 'cluster'))
  test(`a full topic refuses, drops or waits as the producer requests, and loses no accepted event (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await fillable(t, home)
    const grpc = grpcClient(t, server)
    const waitingPublisher = clientOf(t, server).publisher({ topic: 'waiting', overflow: 'wait', maxMessageEvents: 50 })

    await t.test('low priority fills 80 % of the limit, normal 90 %, high all of it', async () => {
      assert.equal((await fill(grpc, 'lanes', Priority.LOW))[0], limit * 0.8)
      assert.equal((await fill(grpc, 'lanes', Priority.NORMAL))[0], limit * 0.1)
      assert.equal((await fill(grpc, 'lanes', Priority.HIGH))[0], limit * 0.1)
      assert.equal((await fill(grpc, 'lanes', Priority.LOW))[0], 0)
      assert.deepEqual((await tally(await freshStatus(server), 'lanes')).waiting, limit)
    })

    await t.test('64 concurrent producers never exceed the limit', async () => {
      const clients = Array.from({ length: 8 }, () => grpcClient(t, server))
      const taken = await Promise.all(
        Array.from({ length: 64 }, (_, index) =>
          fill(clients[index % clients.length] as RawGrpcClient, 'parallel', Priority.NORMAL),
        ),
      )
      const accepted = taken.reduce((sum, [count]) => sum + count, 0)
      assert.ok(accepted <= limit * 0.9, `${accepted} events were accepted`)
      assert.ok(accepted > limit * 0.9 - 10, `only ${accepted} events were accepted`)
      assert.equal((await tally(await freshStatus(server), 'parallel')).waiting, accepted)
    })

    await t.test('reject: RESOURCE_EXHAUSTED with a retry time, 429 with Retry-After', async () => {
      const [, refusal] = await fill(grpc, 'policies', Priority.NORMAL)
      assert.equal(refusal.code, resourceExhausted)
      assert.match(refusal.details, /landing/, 'it names the slow group')
      const details = refusal.metadata.get('grpc-status-details-bin')[0]?.toString('latin1') ?? ''
      assert.match(details, /google\.rpc\.RetryInfo/)
      assert.match(details, /BACKLOGGED/)
      const pushback = Number(refusal.metadata.get('grpc-retry-pushback-ms')[0])
      assert.ok(pushback > 0 && pushback <= 30_000, `pushback ${pushback}`)
      const answer = await postJson(server.http, [{ type: 't' }, { type: 't' }], { query: 'topic=policies' })
      assert.deepEqual([answer.status, answer.body.code], [429, 'backlogged'])
      assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
      assert.deepEqual(
        answer.body.rejections.map(({ index, count, code }) => [index, count, code]),
        [[0, 2, 'backlogged']],
      )
      assert.ok(Number(answer.body.rejections[0]?.retry_after) > 0)
    })

    await t.test(
      'drop: events over the limit are counted in the answer and in the metrics, and the call succeeds',
      async () => {
        const events = orders(7)
        const unary = await grpc.publish({ topic: 'policies', overflow: Overflow.DROP, events })
        assert.deepEqual([unary.accepted, unary.dropped, unary.rejections.length], [0n, 7n, 0])
        const stream = grpc.publishStream()
        await stream.send({ topic: 'policies', overflow: Overflow.DROP, events: orders(5) })
        stream.call.end()
        const { received, accepted, dropped, rejected, status } = await stream.summary
        assert.deepEqual([received, accepted, dropped, rejected], [5n, 0n, 5n, 0n])
        assert.notEqual(status, 1, 'not all was accepted')
        const answer = await postJson(server.http, [{ type: 't' }], { query: 'topic=policies&overflow=drop' })
        assert.deepEqual([answer.status, answer.body.accepted, answer.body.dropped], [202, 0, 1])
        const metrics = await metricsOf(server)
        assert.match(metrics, /^millrace_events_dropped_total\{topic="policies"\} 13$/m)
      },
    )

    await t.test('wait: a unary call waits for space, and is refused before its deadline', async () => {
      const startedAt = performance.now()
      const sending = grpc.publish(
        { topic: 'policies', overflow: Overflow.WAIT, events: orders(1) },
        { deadlineMs: 600 },
      )
      const failure = await sending.then(
        () => null,
        (error: ServiceError) => error,
      )
      const tookMs = performance.now() - startedAt
      assert.ok(failure?.code === resourceExhausted || failure?.code === deadlineExceeded, String(failure))
      assert.ok(tookMs >= 300, `it waited only ${tookMs} ms`)
    })

    await t.test('wait: the server stops reading the stream, so the producer blocks', async () => {
      for (const event of orders(3000)) waitingPublisher.add(eventInput(event))
      await eventually(async () => assert.equal((await tally(server, 'waiting')).waiting, limit * 0.9))
    })

    await t.test('retention removes no waiting event, however short it is', async () => {
      await eventually(async () => assert.ok((await getStatus(server.http)).uptime_seconds > 5.5), { withinMs: 8000 })
      assert.equal((await tally(server, 'lanes')).waiting, limit)
    })

    await t.test('a server that lands frees space: all accepted and all waiting events become rows', async () => {
      await server.stop()
      const landing = await fillable(t, home, {
        MILLRACE_ROLES: 'ingest,worker',
        MILLRACE_GRPC_PORT: server.grpc.split(':')[1] as string,
      })
      const totals = await waitingPublisher.close()
      assert.deepEqual([totals.accepted, totals.dropped, totals.rejected], [3000, 0, 0])
      const ledger = await drained(landing)
      const accepted = ledger.reduce((sum, line) => sum + Number(line.accepted), 0)
      assert.ok(ledger.every((line) => line.balanced && line.dead === 0 && line.lost === 0))
      assert.equal(await home.countRows(), accepted)
      assert.equal(await home.countRows(`topic = 'waiting'`), 3000)
    })
  })

/** Waits for a status that was created after this call. */
async function freshStatus(server: InProcessServer): Promise<InProcessServer> {
  const old = (await getStatus(server.http)).uptime_seconds
  await eventually(async () => assert.notEqual((await getStatus(server.http)).uptime_seconds, old))
  return server
}
