// WatchStatus: what a real server sends to a watcher.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, connect } from '../../src/client/connect.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import type { Observed } from '../../src/pipeline/pipeline.ts'
import { openStore } from '../../src/store/open-store.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { within } from '../support/eventually.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf, publish } from '../support/publish.ts'
import { RedisServer } from '../support/redis-server.ts'
import { startServer } from '../support/server-process.ts'

/** Watches until the status is as expected, and returns it. */
async function seen(client: Client, isIt: (observed: Observed) => boolean, intervalMs = 200): Promise<Observed> {
  const watch = async () => {
    for await (const observed of client.watchStatus({ intervalMs })) if (isIt(observed)) return observed
    throw new Error('the watch ended')
  }
  return await within(20_000, 'the expected status', watch())
}

test('a watcher gets the status with totals, the sizes of log and store, and the landed events by type', async (t) => {
  const server = await startInProcess(t)
  const client = clientOf(t, server)
  await publish(server, 'events', [...orders(30), ...orders(12, { type: 'order.paid' })])
  await publish(server, 'events', orders(1, { type: '' })).catch(() => {})

  const { status, observations } = await seen(client, ({ observations: { store } }) => store?.recent?.events === 42)

  assert.equal(status.ledger.find(({ topic }) => topic === 'events')?.landed, 42)
  const { published, landing, log, store, atSeconds } = observations
  assert.deepEqual(
    { ...published },
    { received: 43, accepted: 42, rejected: 1, dropped: 0, acceptedByLane: { high: 0, normal: 42, low: 0 } },
  )
  assert.deepEqual([landing?.rows, landing?.duplicates, landing?.conflicts], [42, 0, 0])
  assert.ok(landing!.batches >= 1 && landing!.seconds > 0)
  const inBuckets = landing!.durations.reduce((sum, { batches }) => sum + batches, 0)
  assert.equal(inBuckets, landing!.batches)
  assert.equal(landing!.durations.at(-1)?.upToSeconds, null)
  assert.ok(log.usedBytes! > 0 && store!.eventsBytes! > 0 && atSeconds > 0)
  assert.deepEqual(store!.recent!.types, [
    { type: 'order.placed', events: 30 },
    { type: 'order.paid', events: 12 },
  ])
  assert.deepEqual([store!.deadLetters, store!.statements], [{ open: 0, redriven: 0, more: false }, null])
})

test('answers arrive at the requested interval, by default 1 s', async (t) => {
  const server = await startInProcess(t)
  const client = clientOf(t, server)
  for (const [intervalMs, answers] of [
    [200, 4],
    [undefined, 2],
  ] as const) {
    const times: number[] = []
    for await (const _ of client.watchStatus(intervalMs === undefined ? {} : { intervalMs })) {
      times.push(performance.now())
      if (times.length === answers) break
    }
    const meanMs = (times.at(-1)! - times[0]!) / (answers - 1)
    const askedMs = intervalMs ?? 1000
    assert.ok(meanMs > askedMs - 50 && meanMs < askedMs + 500, `${meanMs} ms from one answer to the next`)
  }
  for (const intervalMs of [199, 60_001, 0]) {
    const first = client.watchStatus({ intervalMs }).next()
    await assert.rejects(first, { code: 'invalid_event', field: 'interval' }, String(intervalMs))
  }
})

test('a watch ends without an error when it is aborted, and with one when the server stops', async (t) => {
  const server = await startInProcess(t)
  const client = clientOf(t, server)
  const stop = new AbortController()
  const aborted: Observed[] = []
  for await (const observed of client.watchStatus({ intervalMs: 60_000, signal: stop.signal })) {
    aborted.push(observed)
    stop.abort()
  }
  assert.equal(aborted.length, 1)

  const watch = client.watchStatus({ intervalMs: 60_000 })
  await watch.next()
  const next = watch.next()
  const closing = server.stop()
  await assert.rejects(within(5000, 'the end of the watch', next), { code: 'draining' })
  await within(5000, 'the stop of the server', closing)
  await assert.rejects(client.watchStatus().next(), { code: 'unavailable' })
})

test('a server that hangs is given up after maxSilenceMs, and the next watch goes to another server', async (t) => {
  const [still, other] = [await startServer(t), await startInProcess(t)]
  const client = connect({ addresses: [still.grpc, other.grpc] })
  cleanup(t, () => client.close())
  const options = { intervalMs: 200, maxSilenceMs: 1800 }
  const watch = client.watchStatus(options)
  const first = (await watch.next()).value!
  assert.equal(first.status.version, '0.1.0')

  still.kill('SIGSTOP')
  cleanup(t, async () => still.kill('SIGCONT'))
  const untilSilent = async () => {
    for await (const _ of watch);
  }
  await assert.rejects(within(10_000, 'the end of the watch', untilSilent()), {
    code: 'unavailable',
    message: 'the server sent nothing for 2 s',
  })
  const next = await within(10_000, 'the other server', client.watchStatus(options).next())
  assert.equal(next.value?.status.version, '0.0.0')
})

test('time that the reader spends between two answers does not count as silence of the server', async (t) => {
  const server = await startInProcess(t)
  const watch = clientOf(t, server).watchStatus({ intervalMs: 200, maxSilenceMs: 800 })
  await watch.next()
  await sleep(1500)
  // More than arrived meanwhile: these are returned even after the end of a call.
  for (let answers = 0; answers < 12; answers++) assert.equal((await watch.next()).done, false)
  await watch.return()
})

for (const [how, answers] of [
  ['answers at once', true],
  ['hangs', false],
] as const) {
  test(`a database that ${how} is queried every 5 s at most, however many watchers there are, and no watcher waits for it`, async (t) => {
    let asked = 0
    const server = await startInProcess(t, {
      openStore: async (...given) => {
        const store = await openStore(...given)
        const observe = store.observe.bind(store)
        store.observe = () => {
          asked++
          return answers ? observe() : new Promise(() => {})
        }
        return store
      },
    })
    const clients = [clientOf(t, server), clientOf(t, server)]
    const startMs = performance.now()
    const lasts = await Promise.all(
      clients.map(async (client) => {
        let looks = 0
        for await (const { observations } of client.watchStatus({ intervalMs: 200 })) {
          if (++looks === 8) return observations.store
        }
        throw new Error('the watch ended')
      }),
    )
    const elapsedMs = performance.now() - startMs

    assert.deepEqual(
      lasts.map((store) => store !== null),
      [answers, answers],
    )
    assert.equal(asked, 1)
    assert.ok(elapsedMs < 4500, `16 answers took ${elapsedMs} ms`)
  })
}

test('a server that accepts no events, or lands none, sends no totals of that', async (t) => {
  const taking = await startInProcess(t, { env: { MILLRACE_ROLES: 'ingest' } })
  const { observations } = await seen(clientOf(t, taking), () => true)
  assert.equal(observations.landing, null)
  assert.equal(observations.published?.accepted, 0)
})

test('the status of a log on Redis has the memory, its limit, and why no event is accepted when durability is not guaranteed', async (t) => {
  const redis = await RedisServer.create({ settings: [['maxmemory', '64mb']] })
  cleanup(t, () => redis.destroy())
  const server = await startInProcess(t, {
    openEventLog: (_config, { now, onHealth }) => {
      const silent = { info() {}, warn() {} }
      const elapsedMs = () => performance.now()
      return openRedisLog({
        url: redis.url,
        prefix: 'watched',
        logger: silent,
        now,
        elapsedMs,
        onHealth,
        checkEveryMs: 50,
      })
    },
  })
  const client = clientOf(t, server)

  const { log } = (await seen(client, () => true)).observations
  assert.deepEqual([log.limitBytes, log.problem, log.persistence], [64 * 1024 * 1024, null, 'aof-no'])
  assert.ok(log.usedBytes! > 100_000)
  await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  const broken = await seen(client, ({ observations }) => observations.log.problem !== null)
  assert.match(broken.observations.log.problem!, /noeviction/)
})
