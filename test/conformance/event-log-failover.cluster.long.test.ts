// The log on a Cluster when masters die, slots move and replies are lost.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { slotOf } from '../../src/event-log/redis/connection/hash-slot.ts'
import { openRedisConnection } from '../../src/event-log/redis/connection/open-redis-connection.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import type { RedisServer } from '../support/redis-server.ts'
import { batchOf, group, idsOf, ledgerOf, stream, topic } from './event-log-verbs.ts'
import {
  assertNothingLost,
  assertOutages,
  isCode,
  masterOf,
  openLog,
  prefix,
  produce,
  replicated,
  silent,
  startCluster,
  takeSoon,
} from './redis-failover-verbs.ts'

test('in a Cluster: kill -9 of a master loses nothing at replicated(1), and appends continue on its replica', async (t) => {
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
  // It has a replica again when the old master has returned.
  await dead.start()
  await producer.more(10)
  await producer.stop()
  assert.ok(producer.failures.length > 0)
  assertOutages(producer.failures)
  await assertNothingLost(eventLog, producer.accepted)
})

test('in a Cluster: a channel is resubscribed on its current node after its connection is lost and its master killed', async (t) => {
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
  // Longer than the allowed silence of the server: PING keeps the connection open.
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  assert.match(await first.command('PUBSUB', 'SHARDNUMSUB', channel), /:1/)
  const told = heard
  await first.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await eventually(() => assert.ok(heard > told, 'subscribers must be notified that messages may have been missed'))
  await ringUntilHeard(first)
  await first.stop('SIGKILL')
  const heir = cluster.replicas[cluster.masters.indexOf(first)]!
  await eventually(async () => assert.match(await heir.command('ROLE'), /master/), { withinMs: 15_000 })
  await ringUntilHeard(heir)
})

test('in a Cluster: while a master is down, calls for its partitions fail at once; they succeed when it is back', async (t) => {
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

test('in a Cluster: while a master is down, the others begin a new epoch; its partitions enter it when it is back', async (t) => {
  const cluster = await startCluster(t, { settings: [['cluster-require-full-coverage', 'no']] })
  const all = [0, 1, 2, 3, 4, 5, 6, 7]
  const eventLog = await openLog(t, cluster.url, { partitions: all.length })
  for (const number of all) await eventLog.append(stream('normal', number), [batchOf([`${number}-0`])])
  const { epoch } = await eventLog.describe()
  const isAt = (master: RedisServer) => (number: number) => masterOf(cluster, `${topic}/${number}`) === master
  const dead = cluster.masters.find(
    (master) => master !== masterOf(cluster, `${prefix}:topics`) && all.some(isAt(master)),
  )!
  const others = all.filter((number) => !isAt(dead)(number))
  const [down, lossy] = [all.find(isAt(dead))!, others[0]!]
  await dead.stop('SIGKILL')
  await eventually(() =>
    assert.rejects(eventLog.append(stream('normal', down), [batchOf(['x'])]), isCode('unavailable')),
  )
  await masterOf(cluster, `${topic}/${lossy}`).command('DEL', `${prefix}:{${topic}/${lossy}}:books`)
  for (const number of others) {
    const { positions } = await eventLog.append(stream('normal', number), [batchOf([`${number}-1`])])
    assert.equal(positions[0]?.epoch, epoch + 1)
  }
  await assert.rejects(eventLog.append(stream('normal', down), [batchOf(['x'])]), isCode('unavailable'))
  await dead.start()
  const { positions } = await eventually(() => eventLog.append(stream('normal', down), [batchOf([`${down}-1`])]))
  assert.equal(positions[0]?.epoch, epoch + 1)
  const accepted = [...all.map((number) => `${number}-0`), ...[...others, down].map((number) => `${number}-1`)]
  await assertNothingLost(eventLog, accepted)
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

test('in a Cluster: a partition moves to another node under load, in order and without loss', async (t) => {
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
  // Some of the keys that a script names never exist, so the nodes reply TRYAGAIN until the move has ended.
  await to.command('CLUSTER', 'SETSLOT', slot, 'NODE', toId)
  await from.command('CLUSTER', 'SETSLOT', slot, 'NODE', toId)
  await producer.more(20)
  await producer.stop()
  assert.deepEqual(producer.failures, [])
  await assertNothingLost(eventLog, producer.accepted)
})
