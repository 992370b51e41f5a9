// The log on Redis where a master has replicas: appends that wait for them, masters that are lost, and others that take
// over, on one server, by Sentinels and in a Cluster.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { DurabilityLevel } from '../../src/config-table.ts'
import { MillraceError } from '../../src/errors.ts'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { slotOf } from '../../src/event-log/redis/hash-slot.ts'
import { openRedisConnection } from '../../src/event-log/redis/open-redis-connection.ts'
import { type OpenRedisLogOptions, openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually, within } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { RedisCluster, type RedisClusterOptions } from '../support/redis-cluster.ts'
import { masterName, RedisSentinel } from '../support/redis-sentinel.ts'
import { type RedisOptions, RedisServer } from '../support/redis-server.ts'
import { batchOf, group, idsOf, landed, ledger, ledgerOf, perLane, stream, takeAll, topic } from './event-log-verbs.ts'

const silent = { info() {}, warn() {} }
const prefix = 'test'
const clocks = { now: Date.now, elapsedMs: () => performance.now() }
const replicated: DurabilityLevel = { level: 'replicated', replicas: 1 }
const takeSoon = { maxEvents: perLane(1000), maxWaitMs: 5_000 }

const isCode = (code: string) => (error: unknown) => error instanceof MillraceError && error.code === code

async function startServer(t: TestContext, options: RedisOptions = {}): Promise<RedisServer> {
  const server = await RedisServer.create(options)
  cleanup(t, () => server.destroy())
  return server
}

async function startCluster(t: TestContext, options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const cluster = await RedisCluster.create(options)
  cleanup(t, () => cluster.destroy())
  return cluster
}

async function startSentinel(t: TestContext): Promise<RedisSentinel> {
  const sentinel = await RedisSentinel.create()
  cleanup(t, () => sentinel.destroy())
  return sentinel
}

async function openLog(
  t: TestContext,
  url: string,
  { partitions = 1, ...more }: Partial<OpenRedisLogOptions> & { partitions?: number } = {},
): Promise<EventLog> {
  const eventLog = await openRedisLog({ url, prefix, logger: silent, ...clocks, checkEveryMs: 500, ...more })
  cleanup(t, () => eventLog.close())
  await eventLog.declare(topic, { partitions, groups: [{ name: group }] })
  return eventLog
}

/** Appends one event after the other, in turn to each partition, until it is told to stop. */
function produce(eventLog: EventLog, partitions = 1) {
  const accepted: string[] = []
  const failures: unknown[] = []
  let isStopped = false
  const works = Array.from({ length: partitions }, async (_, partition) => {
    for (let number = 0; !isStopped; number++) {
      const id = `${partition}-${number}`
      const numbered = { producer: { id: `p${partition}`, sequence: number } }
      await eventLog.append(stream('normal', partition), [batchOf([id])], numbered).then(
        () => accepted.push(id),
        (failure) => failures.push(failure),
      )
      if (failures.length > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })
  return {
    accepted,
    failures,
    /** Resolves when so many more have been accepted in each partition. */
    more: (count: number) => {
      const before = Array.from(
        { length: partitions },
        (_, at) => accepted.filter((id) => id.startsWith(`${at}-`)).length,
      )
      return eventually(
        () => {
          for (const [at, had] of before.entries()) {
            const has = accepted.filter((id) => id.startsWith(`${at}-`)).length
            assert.ok(has >= had + count, `${has - had} more in partition ${at}; last failure: ${failures.at(-1)}`)
          }
        },
        { withinMs: 15_000 },
      )
    },
    async stop() {
      isStopped = true
      await Promise.all(works)
    },
  }
}

/** While nobody can keep the promise it is said that the outcome is unknown, or that nothing was written. */
function assertOutages(failures: readonly unknown[]): void {
  for (const failure of failures) {
    assert.ok(isCode('unavailable')(failure) || isCode('durability_lost')(failure), String(failure))
  }
}

/** Each accepted event is in the log, and those of each partition are in their order. */
async function assertNothingLost(eventLog: EventLog, accepted: readonly string[]): Promise<void> {
  const consumer = await eventLog.consume(topic, group, { leaseMs: 30_000 })
  const deliveries = await takeAll(consumer)
  const ids = idsOf(deliveries)
  assert.deepEqual(
    accepted.filter((id) => !ids.includes(id)),
    [],
  )
  for (const partition of new Set(deliveries.map(({ position }) => position.stream.partition))) {
    const numbers = ids.filter((id) => id.startsWith(`${partition}-`)).map((id) => Number(id.split('-')[1]))
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
    )
  }
  assert.deepEqual(await consumer.settle(deliveries.map(landed)), [])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: ids.length, landed: ids.length }))
}

/** A master whose replica is behind a network that can fail. */
async function startReplicated(t: TestContext) {
  const master = await startServer(t)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${master.port}`)
  const replica = await startServer(t, { replicaOf: { port: Number(proxy.address.split(':')[1]) } })
  const waitForReplica = () =>
    eventually(async () => assert.match(await master.command('INFO', 'replication'), /slave0:.*state=online/))
  await waitForReplica()
  return { master, replica, proxy, waitForReplica }
}

test('an append at replicated(1) is accepted when a replica has it, and unknown when none has it in time', async (t) => {
  const { master, replica, proxy, waitForReplica } = await startReplicated(t)
  const eventLog = await openLog(t, master.url, { durability: replicated, maxReplyMs: 600, partitions: 2 })
  assert.equal((await eventLog.describe()).durability, 'replicated')
  await eventLog.append(stream(), [batchOf(['a'])])
  assert.match(await replica.command('XLEN', `${prefix}:{${topic}/0}:lane:normal`), /:1/)

  proxy.up.blocked = true
  proxy.down.blocked = true
  const numbered = { producer: { id: 'p', sequence: 1 } }
  const startedAtMs = performance.now()
  const unknown = [
    eventLog.append(stream(), [batchOf(['b'])], numbered),
    eventLog.append(stream('high'), [batchOf(['c'])]),
    eventLog.append(stream('low', 1), [batchOf(['d'])]),
  ]
  for (const append of unknown) await assert.rejects(append, isCode('unavailable'))
  assert.ok(performance.now() - startedAtMs < 2_000)
  // It is in the log, but whoever answers OK to it now would promise what nobody can keep.
  await assert.rejects(eventLog.append(stream(), [batchOf(['b'])], numbered), isCode('unavailable'))

  proxy.cut()
  proxy.heal()
  await waitForReplica()
  assert.equal((await eventLog.append(stream(), [batchOf(['b'])], numbered)).duplicate, true)
  await eventLog.append(stream(), [batchOf(['e'])])
  assert.equal((await ledgerOf(eventLog)).accepted, 5)
})

test('appends that wait for replicas share the wait, and go on when the server has forgotten the scripts', async (t) => {
  const { master } = await startReplicated(t)
  const eventLog = await openLog(t, master.url, { durability: replicated, partitions: 8 })
  await master.command('SCRIPT', 'FLUSH')
  await Promise.all(
    Array.from({ length: 80 }, (_, number) => eventLog.append(stream('normal', number % 8), [batchOf([`${number}`])])),
  )
  await master.command('SCRIPT', 'FLUSH')
  await eventLog.append(stream(), [batchOf(['last'])])
  assert.equal((await ledgerOf(eventLog)).accepted, 81)
  const waits = /cmdstat_wait:calls=(\d+)/.exec(await master.command('INFO', 'commandstats'))?.[1]
  assert.ok(Number(waits) < 40, `${waits} calls of WAIT`)
})

test('replicated_disk is refused by name where the server has no WAITAOF', async (t) => {
  const server = await startServer(t)
  const durability = { level: 'replicated_disk', replicas: 1 } as const
  await assert.rejects(
    openLog(t, server.url, { durability }),
    (error) => isCode('failed_precondition')(error) && /WAITAOF/.test(String(error)),
  )
})

test('a server that has become a replica takes no appends, and goes on when it is master again', async (t) => {
  const [server, other] = [await startServer(t), await startServer(t)]
  const eventLog = await openLog(t, server.url)
  const producer = produce(eventLog)
  cleanup(t, () => producer.stop())
  await producer.more(5)
  await other.command('REPLICAOF', '127.0.0.1', String(server.port))
  await eventually(async () => assert.match(await other.command('INFO', 'replication'), /master_link_status:up/))
  await server.command('REPLICAOF', '127.0.0.1', String(other.port))
  await eventually(() => assert.ok(producer.failures.some((failure) => isCode('unavailable')(failure))))
  await server.command('REPLICAOF', 'NO', 'ONE')
  await within(10_000, 'the recovery', producer.more(5))
})

test('by Sentinels: kill -9 of the master loses nothing of replicated(1), and appends go on at the next', async (t) => {
  const sentinel = await startSentinel(t)
  const eventLog = await openLog(t, sentinel.url, { durability: replicated, maxReplyMs: 2_000 })
  const producer = produce(eventLog)
  cleanup(t, () => producer.stop())
  await producer.more(20)
  await sentinel.master.stop('SIGKILL')
  await eventually(async () => assert.match(await sentinel.replica.command('ROLE'), /master/), { withinMs: 15_000 })
  // The new master has no replica yet, so nothing is accepted until the old one is its replica.
  await eventually(() => assert.ok(producer.failures.length > 0))
  await sentinel.master.start()
  await producer.more(20)
  await producer.stop()
  assertOutages(producer.failures)
  await assertNothingLost(eventLog, producer.accepted)
})

test('by Sentinels: when the master is made a replica the next is found within 10 s', async (t) => {
  const sentinel = await startSentinel(t)
  const eventLog = await openLog(t, sentinel.url)
  const producer = produce(eventLog)
  cleanup(t, () => producer.stop())
  await producer.more(5)
  assert.match(await sentinel.command('SENTINEL', 'FAILOVER', masterName), /OK/)
  await eventually(async () => assert.match(await sentinel.master.command('ROLE'), /slave/), { withinMs: 15_000 })
  await within(10_000, 'the recovery', producer.more(20))
  await producer.stop()
  const consumer = await eventLog.consume(topic, group, { leaseMs: 30_000 })
  assert.ok((await consumer.next(takeSoon)).length > 0)
})

test('in a Cluster: kill -9 of a master loses nothing of replicated(1), and appends go on at its replica', async (t) => {
  const cluster = await startCluster(t, { hasReplicas: true, nodeTimeoutMs: 1_000 })
  const partitions = 6
  const eventLog = await openLog(t, cluster.url, { durability: replicated, maxReplyMs: 2_000, partitions })
  const producer = produce(eventLog, partitions)
  cleanup(t, () => producer.stop())
  await producer.more(10)
  const dead = masterOf(cluster, `${topic}/0`)
  await dead.stop('SIGKILL')
  const heir = cluster.replicas[cluster.masters.indexOf(dead)]!
  await eventually(async () => assert.match(await heir.command('ROLE'), /master/), { withinMs: 15_000 })
  // It has a replica again when the old master is back.
  await dead.start()
  await producer.more(10)
  await producer.stop()
  assert.ok(producer.failures.length > 0)
  assertOutages(producer.failures)
  await assertNothingLost(eventLog, producer.accepted)
})

test('in a Cluster: a channel is heard again where it lives now, after its connection is lost and its master killed', async (t) => {
  const cluster = await startCluster(t, { hasReplicas: true, nodeTimeoutMs: 1_000 })
  const connection = await openRedisConnection({ url: cluster.url, logger: silent, maxReplyMs: 500 })
  cleanup(t, () => connection.close())
  const channel = '{bell}'
  let heard = 0
  await connection.subscribe(channel, () => heard++)
  const ringUntilHeard = (server: RedisServer) => {
    const before = heard
    return eventually(
      async () => {
        await server.command('SPUBLISH', channel, 'x')
        assert.ok(heard > before)
      },
      { withinMs: 15_000, what: 'the bell' },
    )
  }
  const first = masterOf(cluster, 'bell')
  await ringUntilHeard(first)
  // Longer than the server may be silent: the connection is kept by its PING.
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  assert.match(await first.command('PUBSUB', 'SHARDNUMSUB', channel), /:1/)
  const told = heard
  await first.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await eventually(() => assert.ok(heard > told, 'nobody knows what was said meanwhile'))
  await ringUntilHeard(first)
  await first.stop('SIGKILL')
  const heir = cluster.replicas[cluster.masters.indexOf(first)]!
  await eventually(async () => assert.match(await heir.command('ROLE'), /master/), { withinMs: 15_000 })
  await ringUntilHeard(heir)
})

test('in a Cluster: while a master is away its partitions fail at once, and go on when it is back', async (t) => {
  const cluster = await startCluster(t, { settings: [['cluster-require-full-coverage', 'no']] })
  const eventLog = await openLog(t, cluster.url, { partitions: 6 })
  const dead = masterOf(cluster, `${topic}/0`)
  const other = [1, 2, 3, 4, 5].find((partition) => masterOf(cluster, `${topic}/${partition}`) !== dead)!
  await eventLog.append(stream('normal', 0), [batchOf(['0-0'])])
  await dead.stop('SIGKILL')
  await eventually(() => assert.rejects(eventLog.append(stream(), [batchOf(['x'])]), isCode('unavailable')))
  const startedAtMs = performance.now()
  await assert.rejects(eventLog.append(stream(), [batchOf(['x'])]), isCode('unavailable'))
  assert.ok(performance.now() - startedAtMs < 1_000)
  await eventLog.append(stream('normal', other), [batchOf([`${other}-0`])])
  await dead.start()
  await eventually(() => eventLog.append(stream('normal', 0), [batchOf(['0-1'])]))
  await assertNothingLost(eventLog, ['0-0', '0-1', `${other}-0`])
})

test('in a Cluster: an append whose connection is lost is unavailable and in the log once', async (t) => {
  const cluster = await startCluster(t)
  const proxies = new Map<number, Awaited<ReturnType<typeof startFaultProxy>>>()
  for (const { port } of cluster.masters) proxies.set(port, await startFaultProxy(t, () => `127.0.0.1:${port}`))
  const beside = await openLog(t, cluster.url)
  const eventLog = await openLog(t, cluster.url, {
    reach: (address) => ({ ...address, port: Number(proxies.get(address.port)!.address.split(':')[1]) }),
  })
  const proxy = proxies.get(masterOf(cluster, `${topic}/0`).port)!
  proxy.down.blocked = true
  const lost = eventLog.append(stream(), [batchOf(['a'])])
  lost.catch(() => {})
  await eventually(async () => assert.equal((await ledgerOf(beside)).accepted, 1))
  proxy.cut()
  proxy.heal()
  await assert.rejects(lost, isCode('unavailable'))
  await eventually(() => eventLog.append(stream(), [batchOf(['b'])]))
  assert.deepEqual(idsOf(await (await eventLog.consume(topic, group, { leaseMs: 30_000 })).next(takeSoon)), ['a', 'b'])
})

test('in a Cluster: a partition moves to another node under load, in order and with nothing lost', async (t) => {
  const cluster = await startCluster(t)
  const eventLog = await openLog(t, cluster.url, { partitions: 2 })
  const producer = produce(eventLog, 2)
  cleanup(t, () => producer.stop())
  await producer.more(5)
  const slot = String(slotOf(`{${topic}/0}`))
  const from = masterOf(cluster, `${topic}/0`)
  const to = cluster.masters.find((master) => master !== from)!
  const idOf = async (server: RedisServer) => /[0-9a-f]{40}/.exec(await server.command('CLUSTER', 'MYID'))![0]
  const [fromId, toId] = [await idOf(from), await idOf(to)]
  await to.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId)
  await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId)
  for (;;) {
    const keys = (await from.command('CLUSTER', 'GETKEYSINSLOT', slot, '1'))
      .split('\r\n')
      .filter((line) => /^test:/.test(line))
    if (keys.length === 0) break
    assert.match(await from.command('MIGRATE', '127.0.0.1', String(to.port), keys[0]!, '0', '5000'), /OK/)
  }
  // Some of the keys that a script names are never there, so the nodes put it off until the move has ended.
  await to.command('CLUSTER', 'SETSLOT', slot, 'NODE', toId)
  await from.command('CLUSTER', 'SETSLOT', slot, 'NODE', toId)
  await producer.more(20)
  await producer.stop()
  assert.deepEqual(producer.failures, [])
  await assertNothingLost(eventLog, producer.accepted)
})

function masterOf({ masters }: RedisCluster, tag: string): RedisServer {
  return masters[Math.min(masters.length - 1, Math.floor((slotOf(`{${tag}}`) * masters.length) / 16_384))]!
}
