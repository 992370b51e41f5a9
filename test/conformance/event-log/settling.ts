import assert from 'node:assert/strict'
import { within } from '../../support/eventually.ts'
import {
  again,
  batchOf,
  idsIn,
  idsOf,
  landed,
  leaseMs,
  ledger,
  ledgerOf,
  named,
  perLane,
  take,
  takeAll,
  topic,
} from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

export function settling(story: Story): void {
  story('settled events are never redelivered, and each one is counted with its outcome', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 5)))
    const [delivery] = await take(consumer)
    assert.deepEqual(await consumer.settle([{ delivery: delivery!, landed: 3, dead: 2 }]), [])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 5, landed: 3, dead: 2 }))
    await bench.crash()
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 5, landed: 3, dead: 2 }))
    assert.deepEqual(await take(await bench.consume()), [])
  })

  story('events in `again` are redelivered when they are due, in their lane, with one more attempt', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('low', batchOf(named('a', 3)))
    const [delivery] = await take(consumer)
    const dueAtMs = bench.under.now() + 60_000
    const retry = batchOf(['a1'])
    await consumer.settle([{ delivery: delivery!, landed: 2, dead: 0, again: [{ batch: retry, attempt: 1, dueAtMs }] }])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, waiting: 1, landed: 2 }))
    assert.deepEqual(await take(consumer), [])
    await bench.under.passTime(60_001)
    assert.deepEqual(await consumer.next({ maxEvents: { high: 10, normal: 10, low: 0 }, maxWaitMs: 0 }), [])
    const [second] = await take(consumer)
    assert.deepEqual(idsIn(second!), ['a1'])
    assert.equal(second!.attempt, 2)
    assert.equal(second!.position.stream.lane, 'low')
    await consumer.settle([landed(second!)])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, landed: 3 }))
  })

  story('a waiting consumer gets a redelivery when it is due, without a new call', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a']))
    const [delivery] = await take(consumer)
    await consumer.settle([again(delivery!, bench.under.now() + 150)])
    const deliveries = await within(10_000, 'the retry', consumer.next({ maxEvents: perLane(10), maxWaitMs: 9_000 }))
    assert.deepEqual(idsOf(deliveries), ['a'])
    assert.equal(deliveries[0]?.attempt, 2)
  })

  story('a pending redelivery survives a crash, with its attempt and its due time', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['soon']))
    await bench.append('high', batchOf(['late']))
    const deliveries = await takeAll(consumer)
    const dueAtMs = (id: string) => bench.under.now() + (id === 'soon' ? 0 : 3 * leaseMs)
    await consumer.settle(deliveries.map((one) => again(one, dueAtMs(idsIn(one)[0]!), { attempt: 3 })))
    await bench.crash()
    const second = await bench.consume()
    const [soon, ...more] = await take(second)
    assert.deepEqual([idsIn(soon!), soon!.attempt, more], [['soon'], 4, []])
    await bench.crash()
    const third = await bench.consume()
    assert.deepEqual(
      (await take(third)).map((one) => [idsIn(one), one.attempt]),
      [[['soon'], 5]],
    )
    await bench.under.passTime(3 * leaseMs)
    assert.deepEqual(
      (await take(third)).map((one) => [idsIn(one), one.attempt]),
      [[['late'], 4]],
    )
  })

  story('events in `again` are redelivered to their group only', async (bench) => {
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'second' }] })
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a']))
    const [delivery] = await take(consumer)
    await consumer.settle([again(delivery!, 0)])
    const second = await bench.consume('second')
    assert.deepEqual(idsOf(await takeAll(second)), ['a'])
    assert.deepEqual(await ledgerOf(bench.log, 'second'), ledger({ accepted: 1, waiting: 1, inFlight: 1 }))
    assert.deepEqual(idsOf(await takeAll(consumer)), ['a'])
  })

  story('a settlement is durable, and complete, when its promise has resolved', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 4)))
    const [delivery] = await take(consumer)
    const retry = { batch: batchOf(['a3']), attempt: 1, dueAtMs: 0 }
    await consumer.settle([{ delivery: delivery!, landed: 2, dead: 1, again: [retry] }])
    await bench.crash()
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 4, waiting: 1, landed: 2, dead: 1 }))
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), ['a3'])
  })

  story('a delivery that the consumer does not hold is refused, and changes nothing', async (bench) => {
    const [first, second] = [await bench.consume(), await bench.consume()]
    await bench.append('normal', batchOf(named('a', 1000)))
    await bench.append('normal', batchOf(named('b', 1000)))
    const [a] = await take(first, 1000)
    const [b] = await take(second, 1000)
    assert.deepEqual(await first.settle([landed(b!)]), [b], 'held by another member')
    assert.deepEqual(await first.settle([landed(a!), landed(a!)]), [a], 'named twice')
    assert.deepEqual(await first.settle([landed(a!)]), [a], 'settled before')
    assert.deepEqual(await first.settle([landed(b!)]), [b])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 2000, waiting: 1000, landed: 1000, inFlight: 1000 }))
    assert.deepEqual(await second.settle([landed(b!)]), [])
  })

  story('a settlement is refused when the entry has been handed out to another member', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a']))
    const [old] = await take(consumer)
    await bench.crash()
    const next = await bench.consume()
    const [delivery] = await take(next)
    assert.notEqual(delivery?.id, old?.id)
    assert.deepEqual(await next.settle([landed(old!)]), [old])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1, waiting: 1, inFlight: 1 }))
    assert.deepEqual(await next.settle([landed(delivery!)]), [])
  })

  story('an outcome that does not add up rejects with internal, and nothing of the call is settled', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 900)))
    await bench.append('normal', batchOf(named('b', 900)))
    const [a, b] = await takeAll(consumer)
    const wrong = [
      { delivery: b!, landed: 899, dead: 0 },
      { delivery: b!, landed: 901, dead: 0 },
      { delivery: b!, landed: 901, dead: -1 },
      { delivery: b!, landed: 900, dead: 0, again: [{ batch: batchOf(['b0']), attempt: 1, dueAtMs: 0 }] },
    ]
    for (const outcome of wrong) {
      await assert.rejects(consumer.settle([landed(a!), outcome]), isCode('internal'))
    }
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1800, waiting: 1800, inFlight: 1800 }))
    assert.deepEqual(await consumer.settle([landed(a!), landed(b!)]), [])
  })
}
