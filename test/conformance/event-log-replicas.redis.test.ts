// The log on one Redis server with replicas: appends that wait for them, and a master that becomes a replica.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { cleanup } from '../support/cleanup.ts'
import { eventually, within } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { batchOf, ledgerOf, stream, topic } from './event-log-verbs.ts'
import { isCode, openLog, prefix, produce, replicated, startServer } from './redis-failover-verbs.ts'

/** A master whose replica is behind a network that can fail. */
async function startReplicated(t: TestContext) {
  const master = await startServer(t)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${master.port}`)
  const replica = await startServer(t, { replicaOf: { port: Number(proxy.address.split(':')[1]) } })
  // Before the replica is killed: a connection that is closed and reset at once keeps the test's process from exiting.
  cleanup(t, () => {
    proxy.refuse = true
    proxy.cut()
  })
  // It acknowledges nothing while it loads its first copy.
  const waitForReplica = () =>
    eventually(async () => {
      await master.command('PUBLISH', 'anything', 'replicated')
      assert.match(await master.command('INFO', 'replication'), /slave0:.*state=online,offset=[1-9]/)
    })
  await waitForReplica()
  return { master, replica, proxy, waitForReplica }
}

test('an append at replicated(1) is accepted when a replica has it, and unknown when none confirms it in time', async (t) => {
  const { master, replica, proxy, waitForReplica } = await startReplicated(t)
  const eventLog = await openLog(t, master.url, {
    durability: replicated,
    maxReplyMs: 600,
    checkEveryMs: 60_000,
    partitions: 2,
  })
  assert.equal((await eventLog.describe()).durability, 'replicated')
  await eventLog.append(stream(), [batchOf(['a'])])
  assert.match(await replica.command('XLEN', `${prefix}:{${topic}/0}:lane:normal`), /:1/)

  proxy.up.blocked = true
  proxy.down.blocked = true
  const numbered = { producer: { id: 'p', epoch: 1, sequence: 1 } }
  const startedAtMs = performance.now()
  const unknown = [
    eventLog.append(stream(), [batchOf(['b'])], numbered),
    eventLog.append(stream('high'), [batchOf(['c'])]),
    eventLog.append(stream('low', 1), [batchOf(['d'])]),
  ]
  for (const append of unknown) await assert.rejects(append, isCode('unavailable'))
  assert.ok(performance.now() - startedAtMs < 2_000)
  // It is in the log, but acknowledging it now would be a promise that cannot be kept.
  await assert.rejects(eventLog.append(stream(), [batchOf(['b'])], numbered), isCode('unavailable'))

  proxy.cut()
  proxy.heal()
  await waitForReplica()
  const again = await eventually(() => eventLog.append(stream(), [batchOf(['b'])], numbered))
  assert.equal(again.duplicate, true)
  await eventLog.append(stream(), [batchOf(['e'])])
  assert.equal((await ledgerOf(eventLog)).accepted, 5)
})

test('appends that wait for replicas share the wait, and continue when the server has lost the scripts', async (t) => {
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

test('replicated_disk is refused when the server has no WAITAOF, and the error names the command', async (t) => {
  const server = await startServer(t)
  const durability = { level: 'replicated_disk', replicas: 1 } as const
  await assert.rejects(
    openLog(t, server.url, { durability }),
    (error) => isCode('failed_precondition')(error) && /WAITAOF/.test(String(error)),
  )
})

test('a server that has become a replica refuses appends, and accepts them when it is master again', async (t) => {
  const [server, other] = [await startServer(t), await startServer(t)]
  const eventLog = await openLog(t, server.url)
  const producer = produce(eventLog)
  cleanup(t, () => producer.stop())
  await producer.more(5)
  await other.command('REPLICAOF', '127.0.0.1', String(server.port))
  await eventually(async () => assert.match(await other.command('INFO', 'replication'), /master_link_status:up/))
  await server.command('REPLICAOF', '127.0.0.1', String(other.port))
  await eventually(() => assert.ok(producer.failures.some(isCode('durability_lost'))))
  // Nothing names another master, and nothing was written: the outcome is known.
  assert.ok(!producer.failures.some(isCode('unavailable')))
  await server.command('REPLICAOF', 'NO', 'ONE')
  await within(10_000, 'the recovery', producer.more(5))
})
