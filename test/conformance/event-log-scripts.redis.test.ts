// The scripts of the log on Redis, one by one. The writes of a script that fails are not undone, so a script must fail
// before its first write.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RedisKeys } from '../../src/event-log/redis/redis-keys.ts'
import { readScripts, type ScriptName } from '../../src/event-log/redis/scripts/redis-scripts.ts'
import { encodeAgain } from '../../src/event-log/redis/stored-batch.ts'
import { batchOf, group, stream, takeAll, topic } from './event-log-verbs.ts'
import { openFirst, prefix, type RawClient, rawClient, startServer } from './redis-log.ts'

type Words = readonly (string | Buffer)[]

/** The whole content of the server, byte by byte. */
async function contentOf(client: RawClient): Promise<string> {
  const keys = ((await client.sendCommand(['KEYS', '*'])) as unknown as Buffer[]).map(String).sort()
  const values: string[] = []
  for (const key of keys) {
    const type = await client.sendCommand(['TYPE', key])
    // A hash or set may be returned in another order.
    const value = (await client.sendCommand(readingOf(String(type), key))) as unknown
    values.push(`${key} ${String(type)} ${Buffer.from(JSON.stringify(value, toLatin1)).toString()}`)
    if (String(type) === 'stream') values.push(JSON.stringify(await groupsOf(client, key), toLatin1))
  }
  return values.join('\n')
}

function toLatin1(_: string, value: unknown): unknown {
  const { type, data } = (value ?? {}) as { type?: string; data?: number[] }
  return type === 'Buffer' ? Buffer.from(data!).toString('latin1') : value
}

function readingOf(type: string, key: string): string[] {
  switch (type) {
    case 'hash':
      return ['HGETALL', key]
    case 'set':
      return ['SMEMBERS', key]
    case 'zset':
      return ['ZRANGE', key, '0', '-1', 'WITHSCORES']
    case 'stream':
      return ['XRANGE', key, '-', '+']
    default:
      return ['GET', key]
  }
}

async function groupsOf(client: RawClient, key: string): Promise<unknown> {
  const exists = (await client.sendCommand(['XINFO', 'GROUPS', key])) as unknown as readonly unknown[]
  const pending = exists.length === 0 ? [] : await client.sendCommand(['XPENDING', key, group, '-', '+', '1000'])
  // Without the idle time.
  const facts = (pending as unknown as unknown[][]).map(([id, consumer, , count]) => [id, consumer, count])
  return [exists, facts]
}

function refuseChange(after: string, before: string, what: string): void {
  const [left, right] = [after.split('\n'), before.split('\n')]
  const changed = left.filter((line) => !right.includes(line))
  if (after !== before) assert.fail(`${what}\nand wrote ${changed.join('\n')}`)
}

test('a script that gets a wrong argument, or a key of another type, writes nothing', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  const client = await rawClient(t, server)
  const { epoch } = await eventLog.describe()
  // Every kind of content: leased, returned, in the group's own stream, leased from there, new; from numbered messages.
  // No heartbeat runs in between.
  const consumer = await eventLog.consume(topic, group, { leaseMs: 3_600_000 })
  for (const lane of ['high', 'normal', 'low'] as const) {
    for (const id of ['a', 'b', 'c']) {
      await eventLog.append(stream(lane), [batchOf([id])], {
        producer: { id: 'p', epoch: 1, sequence: 1 + 'abc'.indexOf(id) },
      })
    }
  }
  const permits = await eventLog.permits(
    topic,
    group,
    { groupConcurrency: 3, ratePerSecond: 5 },
    { leaseMs: 3_600_000 },
  )
  await permits.take(3)
  permits.begin(1)
  await permits.take(2)
  const all = await takeAll(consumer)
  const again = (batch: (typeof all)[number]['batch']) => [{ batch, attempt: 1, dueAtMs: 0 }]
  for (const delivery of all.filter((_, index) => index % 3 === 0)) {
    await consumer.settle([{ delivery, landed: 0, dead: 0, again: again(delivery.batch) }])
  }
  await takeAll(consumer)
  await eventLog.reopen(stream('low'), group, [{ batch: batchOf(['d']), attempt: 0, offset: 0 }])
  const request = await eventLog.append(stream(), [batchOf(['e'])], {
    once: { id: 'normal/p', fingerprint: 'f', ttlMs: 3_600_000 },
  })
  const base = `${prefix}:{${topic}/0}`
  const [owner] = (await client.sendCommand(['XINFO', 'CONSUMERS', `${base}:lane:normal`, group])) as unknown as [
    [Buffer, Buffer],
  ]
  const name = String(owner[1])
  const [member] = (await client.sendCommand(['HKEYS', `${base}:again-held:${group}`])) as unknown as [Buffer]
  const partition = new RedisKeys(prefix).partition(topic, 0)
  const batch = batchOf(['x'])
  const record = encodeAgain({ offset: 0, endedAttempts: 0, batch })
  const known = `${epoch} 3 4 3`
  const size = String(batch.bytes.length)
  const appendOf = (lane: string, sequence: string) => [
    ...[lane, '1', '1', size, '100', '100000', 'p', '1', sequence],
    ...['1', '1700', '12345', Buffer.from(batch.bytes)],
  ]
  const settlementOf = (place: readonly string[], reply: readonly string[] = []) => [
    ...[...place, size, '0', '0', '1', String(reply.length), ...reply],
    ...['1', '1', '0', '1700', size, record, '7', '-k'],
  ]
  const calls: Partial<Record<ScriptName, { readonly keys: Words; readonly args: Words }>> = {
    append: {
      keys: partition.forAppend(),
      args: [
        ...['100', '8192', '1', ...appendOf('1', '4'), ...appendOf('3', '5')],
        ...appendOf('0', '4').toSpliced(9, 0, 'normal/p', 'f', '90000'),
      ],
    },
    settle: {
      keys: partition.forSettle(group),
      args: [
        ...[group, name],
        ...settlementOf(
          ['2', 'lane', '1-1', '1'],
          ['normal/p', String(request.positions[0]!.offset), 'bytes', '90000', 'inbox'],
        ),
        ...settlementOf([String(member).split('-')[2]!, 'again', String(member), '2']),
        ...settlementOf(['3', 'lane', '2-1', '1']),
      ],
    },
    reopen: {
      keys: partition.forReopen(group, 'low'),
      args: [group, '3', '1', '0', '1700', size, record, '1', '0', '1700', size, record],
    },
    take: {
      keys: partition.forGroup(group),
      args: [group, name, String(Date.now()), '100000', '1', '9', '0', '9', '0', '9', '0', '9', '0'],
    },
    tail: { keys: [partition.books, ...partition.streams], args: ['1000', '9', '1', '3', '4', '3'] },
    flow: { keys: [partition.books], args: [group, '2', '1', '100'] },
    permits: {
      keys: partition.forPermits(group),
      args: [group, 'me', '1000', '3', '5', '0', '1', '1', '2', '1', '0', '25', '1025', '1000', '500', '50'],
    },
    'find-request': {
      keys: [partition.books, partition.stream('normal'), partition.request('normal/p')],
      args: [group],
    },
    release: { keys: partition.forGroup(group), args: [group, name, '1', '100', '0', '1:1-1'] },
    trim: { keys: [partition.books, partition.stream('normal')], args: ['normal', '9', '0', '9'] },
    owners: { keys: partition.forGroup(group), args: [group, '0', '0', '9'] },
    'make-partition': {
      keys: partition.forMake(),
      args: [...[String(epoch), '', 'made', '9', group, '-', 'other', '+why']],
    },
    'count-loss': { keys: [partition.books], args: ['3', '5', '3', group, '0', '0', '1', '0', '0'] },
  }
  const before = await contentOf(client)
  const dump = new Map<string, Buffer>()
  for (const key of (await client.sendCommand(['KEYS', '*'])) as unknown as Buffer[]) {
    dump.set(String(key), (await client.sendCommand(['DUMP', key])) as unknown as Buffer)
  }
  const restore = async () => {
    await client.sendCommand(['FLUSHALL'])
    for (const [key, value] of dump) await client.sendCommand(['RESTORE', key, '0', value])
  }
  const scripts = readScripts()
  for (const [script, { keys, args: given }] of Object.entries(calls)) {
    const { text } = scripts[script as ScriptName]
    const args = script === 'make-partition' ? given : [...given, known]
    const run = (withKeys: Words, withArgs: Words) =>
      client.sendCommand(['EVAL', text, String(withKeys.length), ...withKeys, ...withArgs]).catch((error) => error)
    let failures = 0
    const check = async (reply: unknown, what: string) => {
      if (reply instanceof Error || String(reply).startsWith('over') || String(reply) === 'nogroup') {
        failures++
        refuseChange(await contentOf(client), before, `${script} with ${what} failed: ${String(reply)}`)
      } else await restore()
    }
    const reply = await run(keys, args)
    assert.ok(!(reply instanceof Error), `${script}: ${reply}`)
    assert.doesNotMatch(String(reply), /^(over|nogroup)/)
    if (script === 'settle') assert.deepEqual((reply as unknown as unknown[])[0], [1, 1, 1])
    await restore()
    for (const [index] of args.entries()) {
      for (const wrong of ['x', '', '-1', '1.5', '9e99']) {
        await check(await run(keys, args.toSpliced(index, 1, wrong)), `"${wrong}" as argument ${index + 1}`)
      }
      await check(await run(keys, args.slice(0, index)), `only ${index} arguments`)
    }
    for (const [index, key] of keys.entries()) {
      const isPrefix = /:$/.test(String(key))
      const wrongKey = isPrefix ? `${String(key)}normal/p` : key
      if (isPrefix && script !== 'append' && script !== 'settle') continue
      await client.sendCommand(['DEL', wrongKey])
      const isSortedSet = /:(due:.*|again-keys:.*|producers)$/.test(String(wrongKey))
      await client.sendCommand(isSortedSet ? ['SET', wrongKey, 'x'] : ['ZADD', wrongKey, '1', 'x'])
      const spoilt = await contentOf(client)
      const answer = await run(keys, args)
      if (answer instanceof Error || String(answer) === 'nogroup' || String(answer).startsWith('over')) {
        failures++
        refuseChange(await contentOf(client), spoilt, `${script} with key ${index + 1} of another kind: ${answer}`)
      }
      await restore()
    }
    assert.ok(failures >= 3, `${script}: no call failed`)
  }
})

test('the scripts that begin an epoch check all that they read in a partition before they write', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  const client = await rawClient(t, server)
  const { epoch } = await eventLog.describe()
  for (const id of ['a', 'b', 'c']) await eventLog.append(stream(), [batchOf([id])])
  const consumer = await eventLog.consume(topic, group, { leaseMs: 3_600_000 })
  const [delivery] = await takeAll(consumer)
  const again = [{ batch: delivery!.batch, attempt: 1, dueAtMs: 0 }]
  await consumer.settle([{ delivery: delivery!, landed: 0, dead: 0, again }])
  const partition = new RedisKeys(prefix).partition(topic, 0)
  const { books } = partition
  const scripts = readScripts()
  const run = (script: ScriptName, keys: Words, args: Words) =>
    client.sendCommand(['EVAL', scripts[script].text, String(keys.length), ...keys, ...args]).catch((error) => error)
  const begin = () =>
    run('make-partition', partition.forMake(), [String(epoch + 1), 'begin', 'made', '9', group, '-', 'other', '-'])
  const ledgerWords = [group, '0', '1', '2', '0', '0']
  const countLoss = () => run('count-loss', [books], ['3', '5', '3', ...ledgerWords, `${epoch + 1} 0 3 0`])
  const stories = [
    { name: 'with the books', call: begin, prepare: async () => {} },
    { name: 'without the books', call: begin, prepare: async () => void (await client.sendCommand(['DEL', books])) },
    { name: 'count-loss', call: countLoss, prepare: async () => void (await begin()) },
  ]
  const dump = new Map<string, Buffer>()
  for (const key of (await client.sendCommand(['KEYS', '*'])) as unknown as Buffer[]) {
    dump.set(String(key), (await client.sendCommand(['DUMP', key])) as unknown as Buffer)
  }
  for (const { name, prepare, call } of stories) {
    const start = async () => {
      await client.sendCommand(['FLUSHALL'])
      for (const [key, value] of dump) await client.sendCommand(['RESTORE', key, '0', value])
      await prepare()
    }
    await start()
    const fields = (await client.sendCommand(['HKEYS', books])) as unknown as Buffer[]
    const keys = [partition.tries(group), partition.again(group), ...partition.streams]
    const spoils = [
      ...fields.map((field) => ['HSET', books, String(field), 'x']),
      ...keys.map((key) => ['SET', key, 'x']),
    ]
    assert.ok(!((await call()) instanceof Error), name)
    let failures = 0
    for (const spoil of spoils) {
      await start()
      await client.sendCommand(spoil)
      const spoilt = await contentOf(client)
      const reply = await call()
      if (!(reply instanceof Error)) continue
      failures++
      refuseChange(await contentOf(client), spoilt, `${name}: ${spoil.join(' ')} made it fail: ${reply}`)
    }
    assert.ok(failures >= 2, `${name}: no call failed`)
  }
})
