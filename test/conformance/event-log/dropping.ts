import assert from 'node:assert/strict'
import { within } from '../../support/eventually.ts'
import type { Bench } from '../event-log-bench.ts'
import {
  again,
  batchOf,
  describeGroup,
  group,
  idsIn,
  idsOf,
  landed,
  leaseMs,
  ledger,
  ledgerOf,
  named,
  perLane,
  stream,
  take,
  takeAll,
  topic,
} from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

export function dropping(story: Story): void {
  const maxWaiting = { maxEvents: 5, maxBytes: 1e9 }
  const declareOther = (bench: Bench) => bench.log.declare(topic, { partitions: 2, groups: [{ name: 'other' }] })

  story(
    'a dropped group no longer limits appends, and dropGroup resolves with the number of its waiting events',
    async (bench) => {
      await declareOther(bench)
      const other = await bench.consume('other')
      await bench.append('normal', batchOf(named('a', 4)))
      await bench.log.append(stream('low', 1), [batchOf(named('b', 3))])
      for (const delivery of await takeAll(other)) await other.settle([landed(delivery)])
      await assert.rejects(bench.log.append(stream(), [batchOf(named('c', 2))], { maxWaiting }), isCode('backlogged'))
      assert.equal(await bench.log.dropGroup(topic, group), 7)
      await bench.log.append(stream(), [batchOf(named('c', 2))], { maxWaiting })
      const { topics } = await bench.log.describe()
      assert.deepEqual(
        topics.find(({ name }) => name === topic)?.groups.map(({ name }) => name),
        ['other'],
      )
      assert.deepEqual(await ledgerOf(bench.log, 'other'), ledger({ accepted: 9, waiting: 2, landed: 7 }))
    },
  )

  story('a group stays dropped after a crash, and its own stream is gone', async (bench) => {
    await declareOther(bench)
    const consumer = await bench.consume()
    for (const id of ['a', 'b', 'c']) await bench.append('normal', batchOf([id]))
    const [a, b] = await take(consumer, 3)
    await consumer.settle([again(a!, bench.under.now() - 1), again(b!, bench.under.now() + leaseMs)])
    await bench.log.reopen(stream(), group, [{ batch: batchOf(['a']), attempt: 1, offset: 0 }])
    await bench.log.setFlow(topic, group, { paused: 'long forgotten' })
    assert.equal(await bench.log.dropGroup(topic, group), 4)
    for (const round of ['at once', 'after a crash']) {
      await assert.rejects(bench.log.dropGroup(topic, group), isCode('not_found'), round)
      await assert.rejects(bench.consume(), isCode('not_found'), round)
      await assert.rejects(bench.log.reopen(stream(), group, []), isCode('not_found'), round)
      assert.deepEqual(await ledgerOf(bench.log, 'other'), ledger({ accepted: 3, waiting: 3 }), round)
      await bench.crash()
    }
    assert.deepEqual(idsOf(await takeAll(await bench.consume('other'))), ['a', 'b', 'c'])
  })

  story('a dropped group that is declared again is a new group and starts at the oldest kept entry', async (bench) => {
    const consumer = await bench.consume()
    for (const id of ['a', 'b']) await bench.append('normal', batchOf([id]))
    const [a, b] = await take(consumer)
    await consumer.settle([landed(a!), again(b!, bench.under.now() - 1)])
    await bench.log.setFlow(topic, group, { paused: 'long forgotten' })
    await bench.log.dropGroup(topic, group)
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
    for (const round of ['at once', 'after a crash']) {
      assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 2, waiting: 2 }), round)
      assert.deepEqual((await describeGroup(bench.log)).flow, null, round)
      const deliveries = await takeAll(await bench.consume())
      assert.deepEqual(idsOf(deliveries), ['a', 'b'], round)
      await bench.crash()
    }
    await bench.log.dropGroup(topic, group)
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
    await bench.append('normal', batchOf(['c']))
    const joined = await bench.consume()
    for (const delivery of await takeAll(joined)) await joined.settle([landed(delivery)])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, landed: 3 }))
  })

  story('a group that is declared again after a drop and a crash has no state of the dropped one', async (bench) => {
    const consumer = await bench.consume()
    for (const id of ['a', 'b', 'c', 'd']) await bench.append('normal', batchOf([id]))
    const [, b, c] = await take(consumer, 3)
    await consumer.settle([landed(b!), again(c!, bench.under.now() - 1)])
    const other = await bench.consume()
    assert.deepEqual(idsOf(await takeAll(other)).sort(), ['c', 'd'])
    await other.close()
    await bench.log.setFlow(topic, group, { paused: 'long forgotten' })
    await bench.log.dropGroup(topic, group)
    await bench.crash()
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
    const joined = await bench.consume()
    const [first, ...others] = await takeAll(joined)
    assert.deepEqual([idsIn(first!), first!.attempt], [['a'], 1])
    assert.deepEqual(
      [idsOf(others), others.map(({ attempt }) => attempt)],
      [
        ['b', 'c', 'd'],
        [1, 1, 1],
      ],
    )
    await joined.settle([again(first!, bench.under.now() - 1), ...others.map(landed)])
    await bench.crash()
    const last = await bench.consume()
    const back = await takeAll(last)
    assert.deepEqual([idsOf(back), back[0]?.attempt], [['a'], 2])
    await last.settle(back.map(landed))
    await bench.crash()
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 4, landed: 4 }))
    assert.deepEqual(await takeAll(await bench.consume()), [])
  })

  story('next (also a pending call) and settle of a dropped group reject with not_found', async (bench) => {
    await declareOther(bench)
    const [holder, waiter] = [await bench.consume(), await bench.consume()]
    await bench.append('normal', batchOf(['a']))
    const [a] = await take(holder)
    const waiting = waiter.next({ maxEvents: perLane(10), maxWaitMs: 60_000 })
    const told = assert.rejects(within(5000, 'the refusal', waiting), isCode('not_found'))
    assert.equal(await bench.log.dropGroup(topic, group), 1)
    await told
    await assert.rejects(take(holder), isCode('not_found'))
    await assert.rejects(holder.settle([landed(a!)]), isCode('not_found'))
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
    await holder.settle([landed(a!)]).catch(() => {})
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1, waiting: 1 }))
    await Promise.all([holder.close(), waiter.close()])
    assert.deepEqual(await ledgerOf(bench.log, 'other'), ledger({ accepted: 1, waiting: 1 }))
  })

  story('entries that only a dropped group had not settled can be trimmed', async (bench) => {
    await declareOther(bench)
    const other = await bench.consume('other')
    await bench.append('normal', batchOf(named('a', 3)))
    for (const delivery of await takeAll(other)) await other.settle([landed(delivery)])
    const forgetAll = { keepSinceMs: bench.under.now() + 1e9, maxBytes: 0 }
    assert.equal((await bench.log.trim(topic, forgetAll)).events, 0)
    await bench.log.dropGroup(topic, group)
    assert.equal((await bench.log.trim(topic, forgetAll)).events, 3)
  })

  story(
    'a group with many leased and many pending entries can be dropped during appends and settlements',
    async (bench) => {
      await declareOther(bench)
      const [consumer, other] = [await bench.consume(), await bench.consume('other')]
      const ids = named('a', 2500)
      for (let from = 0; from < ids.length; from += 500) {
        await bench.append('normal', ...ids.slice(from, from + 500).map((id) => batchOf([id])))
      }
      for (const id of ['c', 'd', 'e', 'f']) await bench.log.append(stream('low', 1), [batchOf([id])])
      const held = await take(consumer, 2000)
      const [c, d, e] = held.filter(({ position }) => position.stream.lane === 'low')
      await consumer.settle([again(d!, bench.under.now() + leaseMs)])
      const appending = Promise.all(named('b', 20).map((id) => bench.append('high', batchOf([id]))))
      const settling = Promise.allSettled([
        consumer.settle([landed(e!)]),
        bench.log.reopen(stream(), group, [{ batch: batchOf(['g']), attempt: 1, offset: 0 }]),
      ])
      const dropped = await bench.log.dropGroup(topic, group)
      await Promise.all([appending, settling])
      assert.ok(dropped >= 2503 && dropped <= 2525, `${dropped} events were waiting`)
      await assert.rejects(consumer.settle([landed(c!)]), isCode('not_found'))
      for (let more = await take(other); more.length > 0; more = await take(other)) await other.settle(more.map(landed))
      assert.deepEqual(await ledgerOf(bench.log, 'other'), ledger({ accepted: 2524, landed: 2524 }))
      await bench.crash()
      assert.deepEqual(await ledgerOf(bench.log, 'other'), ledger({ accepted: 2524, landed: 2524 }))
    },
  )

  story(
    'when several callers drop one group at the same time, the drop is complete for all when one call resolves',
    async (bench) => {
      await bench.append('normal', batchOf(['a']))
      const results = await Promise.allSettled([1, 2, 3].map(() => bench.log.dropGroup(topic, group)))
      const answers = results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason.code))
      assert.ok(answers.includes(1), answers.join())
      assert.ok(
        answers.every((answer) => [0, 1, 'not_found'].includes(answer)),
        answers.join(),
      )
      await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
      assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1, waiting: 1 }))
    },
  )

  story('dropping an undeclared group, or a group of an undeclared topic, rejects with not_found', async (bench) => {
    await assert.rejects(bench.log.dropGroup(topic, 'unknown'), isCode('not_found'))
    await assert.rejects(bench.log.dropGroup('unknown', group), isCode('not_found'))
  })
}
