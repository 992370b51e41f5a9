import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { within } from '../../support/eventually.ts'
import {
  again,
  batchOf,
  describeGroup,
  group,
  idsIn,
  idsOf,
  landed,
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

export function pausing(story: Story): void {
  const reason = 'the table is being moved'

  story('nothing is handed out to a paused group, and it resumes where it was', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a']))
    const [held] = await take(consumer)
    await consumer.settle([again(held!, bench.under.now() - 1)])
    await bench.append('high', batchOf(['b']))
    await bench.log.append(stream('low', 1), [batchOf(['c'])])
    await bench.log.setPaused(topic, group, reason)
    assert.deepEqual(await takeAll(consumer), [])
    assert.deepEqual(await takeAll(await bench.consume()), [], 'a member that joins later gets nothing either')
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, waiting: 3 }))
    await bench.log.setPaused(topic, group, null)
    const deliveries = await takeAll(consumer)
    assert.deepEqual(idsOf(deliveries).sort(), ['a', 'b', 'c'])
    assert.equal(deliveries.find((delivery) => idsIn(delivery)[0] === 'a')?.attempt, 2)
  })

  story('a pending next of a paused group gets entries as soon as the group is resumed', async (bench) => {
    const consumer = await bench.consume()
    await bench.log.setPaused(topic, group, reason)
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 60_000 })
    await bench.append('normal', batchOf(['a']))
    let isAnswered = false
    void waiting.then(() => {
      isAnswered = true
    })
    // Long enough for several polls.
    await sleep(150)
    assert.equal(isAnswered, false, 'it was handed out while the group was paused')
    await bench.log.setPaused(topic, group, null)
    assert.deepEqual(idsOf(await within(5000, 'the first delivery', waiting)), ['a'])
  })

  story('next of a paused group resolves with an empty list after maxWaitMs', async (bench) => {
    await bench.append('normal', batchOf(['a']))
    await bench.log.setPaused(topic, group, reason)
    const consumer = await bench.consume()
    assert.deepEqual(await within(5000, 'the answer', consumer.next({ maxEvents: perLane(10), maxWaitMs: 30 })), [])
  })

  story('leased deliveries can be settled and returned while the group is paused', async (bench) => {
    const [first, second] = [await bench.consume(), await bench.consume()]
    for (const id of ['a', 'b']) await bench.append('normal', batchOf([id]))
    const [a] = await take(first, 1)
    const [b] = await take(second, 1)
    await bench.log.setPaused(topic, group, reason)
    assert.deepEqual(await first.settle([landed(a!)]), [])
    await second.close()
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 2, waiting: 1, landed: 1 }))
    assert.deepEqual(await takeAll(first), [])
    await bench.log.setPaused(topic, group, null)
    const [back] = await take(first)
    assert.deepEqual([idsIn(back!), back!.attempt], [idsIn(b!), 1])
  })

  story('a pause survives a crash, with its reason, and so does a resumption', async (bench) => {
    await bench.append('normal', batchOf(['a']))
    assert.equal((await describeGroup(bench.log)).paused, null)
    await bench.log.setPaused(topic, group, 'first')
    await bench.log.setPaused(topic, group, reason)
    await bench.crash()
    assert.equal((await describeGroup(bench.log)).paused, reason)
    assert.deepEqual(await takeAll(await bench.consume()), [])
    await bench.log.setPaused(topic, group, '')
    await bench.restart()
    assert.equal((await describeGroup(bench.log)).paused, '')
    assert.deepEqual(await takeAll(await bench.consume()), [])
    await bench.log.setPaused(topic, group, null)
    await bench.log.setPaused(topic, group, null)
    await bench.crash()
    assert.equal((await describeGroup(bench.log)).paused, null)
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), ['a'])
  })

  story('partitions that are added to a topic are paused for its paused groups', async (bench) => {
    await bench.log.setPaused(topic, group, reason)
    await bench.log.declare(topic, { partitions: 3, groups: [{ name: group }] })
    await bench.log.append(stream('normal', 2), [batchOf(['a'])])
    assert.deepEqual(await takeAll(await bench.consume()), [])
    assert.equal((await describeGroup(bench.log)).paused, reason)
  })

  story('a pause does not affect the other groups of the topic', async (bench) => {
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'other' }] })
    await bench.log.setPaused(topic, group, reason)
    await bench.append('normal', batchOf(['a']))
    assert.deepEqual(idsOf(await takeAll(await bench.consume('other'))), ['a'])
    assert.equal((await describeGroup(bench.log, 'other')).paused, null)
  })

  story('appends are admitted up to the limit while the group is paused', async (bench) => {
    const maxWaiting = { maxEvents: 2, maxBytes: 1e9 }
    await bench.log.setPaused(topic, group, reason)
    await bench.log.append(stream(), [batchOf(named('a', 2))], { maxWaiting })
    await assert.rejects(bench.log.append(stream(), [batchOf(['b'])], { maxWaiting }), isCode('backlogged'))
  })

  story('pausing a group of an undeclared topic, or an undeclared group, rejects with not_found', async (bench) => {
    await assert.rejects(bench.log.setPaused(topic, 'unknown', reason), isCode('not_found'))
    await assert.rejects(bench.log.setPaused('unknown', group, null), isCode('not_found'))
  })
}
