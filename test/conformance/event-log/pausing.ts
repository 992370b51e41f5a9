import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Consumer, maxFlowStepMs } from '../../../src/event-log/event-log.ts'
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
    await bench.log.setFlow(topic, group, { paused: reason })
    assert.deepEqual(await takeAll(consumer), [])
    assert.deepEqual(await takeAll(await bench.consume()), [], 'a member that joins later gets nothing either')
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, waiting: 3 }))
    await bench.log.setFlow(topic, group, null)
    const deliveries = await takeAll(consumer)
    assert.deepEqual(idsOf(deliveries).sort(), ['a', 'b', 'c'])
    assert.equal(deliveries.find((delivery) => idsIn(delivery)[0] === 'a')?.attempt, 2)
  })

  story('a pending next of a paused group gets entries as soon as the group is resumed', async (bench) => {
    const consumer = await bench.consume()
    await bench.log.setFlow(topic, group, { paused: reason })
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 60_000 })
    await bench.append('normal', batchOf(['a']))
    let isAnswered = false
    void waiting.then(() => {
      isAnswered = true
    })
    // Long enough for several polls.
    await sleep(150)
    assert.equal(isAnswered, false, 'it was handed out while the group was paused')
    await bench.log.setFlow(topic, group, null)
    assert.deepEqual(idsOf(await within(5000, 'the first delivery', waiting)), ['a'])
  })

  story('next of a paused group resolves with an empty list after maxWaitMs', async (bench) => {
    await bench.append('normal', batchOf(['a']))
    await bench.log.setFlow(topic, group, { paused: reason })
    const consumer = await bench.consume()
    assert.deepEqual(await within(5000, 'the answer', consumer.next({ maxEvents: perLane(10), maxWaitMs: 30 })), [])
  })

  story('leased deliveries can be settled and returned while the group is paused', async (bench) => {
    const [first, second] = [await bench.consume(), await bench.consume()]
    for (const id of ['a', 'b']) await bench.append('normal', batchOf([id]))
    const [a] = await take(first, 1)
    const [b] = await take(second, 1)
    await bench.log.setFlow(topic, group, { paused: reason })
    assert.deepEqual(await first.settle([landed(a!)]), [])
    await second.close()
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 2, waiting: 1, landed: 1 }))
    assert.deepEqual(await takeAll(first), [])
    await bench.log.setFlow(topic, group, null)
    const [back] = await take(first)
    assert.deepEqual([idsIn(back!), back!.attempt], [idsIn(b!), 1])
  })

  story('a pause survives a crash, with its reason, and so does a resumption', async (bench) => {
    await bench.append('normal', batchOf(['a']))
    assert.deepEqual((await describeGroup(bench.log)).flow, null)
    await bench.log.setFlow(topic, group, { paused: 'first' })
    await bench.log.setFlow(topic, group, { paused: reason })
    await bench.crash()
    assert.deepEqual((await describeGroup(bench.log)).flow, { paused: reason })
    assert.deepEqual(await takeAll(await bench.consume()), [])
    await bench.log.setFlow(topic, group, { paused: '' })
    await bench.restart()
    assert.deepEqual((await describeGroup(bench.log)).flow, { paused: '' })
    assert.deepEqual(await takeAll(await bench.consume()), [])
    await bench.log.setFlow(topic, group, null)
    await bench.log.setFlow(topic, group, null)
    await bench.crash()
    assert.deepEqual((await describeGroup(bench.log)).flow, null)
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), ['a'])
  })

  story('partitions that are added to a topic are paused for its paused groups', async (bench) => {
    await bench.log.setFlow(topic, group, { paused: reason })
    await bench.log.declare(topic, { partitions: 3, groups: [{ name: group }] })
    await bench.log.append(stream('normal', 2), [batchOf(['a'])])
    assert.deepEqual(await takeAll(await bench.consume()), [])
    assert.deepEqual((await describeGroup(bench.log)).flow, { paused: reason })
  })

  story('a pause does not affect the other groups of the topic', async (bench) => {
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'other' }] })
    await bench.log.setFlow(topic, group, { paused: reason })
    await bench.append('normal', batchOf(['a']))
    assert.deepEqual(idsOf(await takeAll(await bench.consume('other'))), ['a'])
    assert.deepEqual((await describeGroup(bench.log, 'other')).flow, null)
  })

  story('appends are admitted up to the limit while the group is paused', async (bench) => {
    const maxWaiting = { maxEvents: 2, maxBytes: 1e9 }
    await bench.log.setFlow(topic, group, { paused: reason })
    await bench.log.append(stream(), [batchOf(named('a', 2))], { maxWaiting })
    await assert.rejects(bench.log.append(stream(), [batchOf(['b'])], { maxWaiting }), isCode('backlogged'))
  })

  story('pausing a group of an undeclared topic, or an undeclared group, rejects with not_found', async (bench) => {
    await assert.rejects(bench.log.setFlow(topic, 'unknown', { paused: reason }), isCode('not_found'))
    await assert.rejects(bench.log.setFlow('unknown', group, null), isCode('not_found'))
  })

  story('a group with a rate gets no more than that, in all its consumers and partitions together', async (bench) => {
    const [ratePerSecond, events] = [40, 40]
    await bench.log.setFlow(topic, group, { ratePerSecond })
    for (let at = 0; at < events; at += 2) {
      await bench.log.append(stream('normal', 0), [batchOf([`a${at}`])])
      await bench.log.append(stream('low', 1), [batchOf([`b${at}`])])
    }
    const seen: string[] = []
    const work = async (consumer: Consumer) => {
      while (seen.length < events) {
        const deliveries = await consumer.next({ maxEvents: perLane(10), maxWaitMs: 200 })
        seen.push(...idsOf(deliveries))
        await consumer.settle(deliveries.map(landed))
      }
    }
    const startedAtMs = performance.now()
    await within(20_000, 'all events', Promise.all([work(await bench.consume()), work(await bench.consume())]))
    assert.equal(new Set(seen).size, events)
    // One step is saved up, and the last hand-out can have a step of each lane.
    const leastMs = (1000 * events) / ratePerSecond - 3 * maxFlowStepMs
    const tookMs = performance.now() - startedAtMs
    assert.ok(tookMs >= leastMs, `${events} events in ${tookMs} ms`)
  })

  story('after a large entry a group with a rate waits for as long as its events take', async (bench) => {
    await bench.log.setFlow(topic, group, { ratePerSecond: 100 })
    await bench.append('normal', batchOf(named('a', 50)))
    await bench.append('normal', batchOf(['b']))
    const consumer = await bench.consume()
    const startedAtMs = performance.now()
    assert.deepEqual(idsOf(await take(consumer)), named('a', 50))
    assert.deepEqual(await take(consumer), [])
    const next = consumer.next({ maxEvents: perLane(10), maxWaitMs: 60_000 })
    assert.deepEqual(idsOf(await within(5000, 'the next entry', next)), ['b'])
    const tookMs = performance.now() - startedAtMs
    assert.ok(tookMs >= 500 - maxFlowStepMs, `it came after ${tookMs} ms`)
  })

  story('what is returned without an attempt does not count in the rate', async (bench) => {
    await bench.log.setFlow(topic, group, { ratePerSecond: 1 })
    await bench.append('normal', batchOf(named('a', 20)))
    const consumer = await bench.consume()
    const [whole] = await take(consumer)
    const one = { attempt: 0, dueAtMs: bench.under.now() - 1 }
    const all = named('a', 20).map((id) => ({ ...one, batch: batchOf([id]) }))
    await consumer.settle([{ delivery: whole!, landed: 0, dead: 0, again: all }])
    const next = consumer.next({ maxEvents: perLane(10), maxWaitMs: 60_000 })
    assert.equal((await within(10_000, 'the first of them', next)).length, 1)
    assert.deepEqual(await take(consumer), [])
  })

  story('a rate survives a crash, replaces a pause, and owes nothing to the one before it', async (bench) => {
    await bench.log.setFlow(topic, group, { paused: reason })
    await bench.log.setFlow(topic, group, { ratePerSecond: 1 })
    await bench.crash()
    assert.deepEqual((await describeGroup(bench.log)).flow, { ratePerSecond: 1 })
    await bench.append('normal', batchOf(named('a', 50)))
    await bench.append('normal', batchOf(['b']))
    const consumer = await bench.consume()
    assert.equal((await take(consumer)).length, 1)
    const next = consumer.next({ maxEvents: perLane(10), maxWaitMs: 60_000 })
    await bench.log.setFlow(topic, group, { ratePerSecond: 2 })
    assert.deepEqual(idsOf(await within(10_000, 'the next entry', next)), ['b'])
    await bench.append('normal', batchOf(['c']))
    await bench.append('normal', batchOf(['d']))
    await bench.log.setFlow(topic, group, null)
    assert.deepEqual(idsOf(await takeAll(consumer)), ['c', 'd'])
    assert.deepEqual((await describeGroup(bench.log)).flow, null)
  })
}
