// Redis is out of memory: new events are refused, and accepted events are still landed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ServiceError } from '@grpc/grpc-js'
import { postgresHome, redisEnvironment } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient, type RawGrpcClient } from '../support/grpc-client.ts'
import { landingProblem, postJson } from '../support/http-client.ts'
import { RedisServer } from '../support/redis-server.ts'
import { startServer } from '../support/server-process.ts'
import { drained, tally } from '../support/tally.ts'

const resourceExhausted = 8
const deadEvents = 3
const data = Buffer.from(JSON.stringify('x'.repeat(20_000)))

/** Publishes until Redis is full; returns the number of accepted events and the error. */
async function fill(grpc: RawGrpcClient): Promise<[number, ServiceError]> {
  for (let taken = 0; taken < 20_000; ) {
    try {
      taken += Number((await grpc.publish({ events: orders(10, { data }) })).accepted)
    } catch (error) {
      return [taken, error as ServiceError]
    }
  }
  throw new Error('Redis did not fill up')
}

test('fault B13: with Redis full, events are refused, landing and retries continue, dead letters wait; ingest resumes with free memory', async (t) => {
  const redis = await RedisServer.create({ settings: [['maxmemory', '24mb']] })
  cleanup(t, () => redis.destroy())
  const home = await postgresHome(t, redisEnvironment(redis.url))
  const ingest = await startServer(t, { ...home, env: { ...home.env, MILLRACE_ROLES: 'ingest' } })
  await home.execute(`ALTER TABLE events ADD CONSTRAINT picky CHECK (type <> 'poison')`)
  const grpc = grpcClient(t, ingest)
  await grpc.publish({ events: orders(deadEvents, { type: 'poison' }) })

  let [taken, refusal] = await fill(grpc)
  assert.equal(refusal.code, resourceExhausted, refusal.details)
  assert.match(refusal.metadata.get('grpc-status-details-bin')[0]?.toString('latin1') ?? '', /DISK_FULL/)
  assert.ok(Number(refusal.metadata.get('grpc-retry-pushback-ms')[0]) > 0)
  // The refused batch had ten events; one or two may still fit.
  await eventually(async () => {
    const answer = await postJson(ingest.http, [{ type: 'order.placed', data: String(data) }])
    if (answer.status === 202) taken++
    assert.deepEqual([answer.status, answer.body.code], [429, 'disk_full'])
  })

  const worker = await startServer(t, { ...home, env: { ...home.env, MILLRACE_ROLES: 'worker' } })
  // An event that cannot be dead-lettered keeps its whole batch unsettled: the others have rows and are settled later.
  await eventually(async () => assert.equal(await home.countRows(), taken), { withinMs: 20_000, what: 'the rows' })
  const { landed, dead } = await tally(ingest)
  assert.ok(Number(landed) > 0, 'no event is settled')
  assert.equal(dead, 0)
  const [more, stillRefused] = await fill(grpc)
  assert.equal(stillRefused.code, resourceExhausted)
  await eventually(async () => assert.equal(await home.countRows(), taken + more))

  await redis.command('CONFIG', 'SET', 'maxmemory', '100mb')
  const freedAt = performance.now()
  await eventually(() => grpc.publish({ events: orders(1) }), { withinMs: 5000, what: 'accepting events again' })
  t.diagnostic(`accepts ${Math.round(performance.now() - freedAt)} ms after memory was freed`)
  const ledger = await drained(ingest, 30_000)
  const [line] = ledger
  assert.partialDeepStrictEqual(line, { dead: deadEvents, lost: 0, balanced: true })
  assert.equal(await home.countRows(), line?.landed)
  await eventually(async () => {
    const letters = await (await fetch(`http://${ingest.http}/v1/dead-letters`)).json()
    assert.equal((letters as { dead_letters: unknown[] }).dead_letters.length, deadEvents)
  })
  assert.equal(await landingProblem(ingest.http), null)
  for (const server of [ingest, worker]) {
    assert.doesNotMatch(server.stderr, /[Uu]nhandled/)
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
  }
})
