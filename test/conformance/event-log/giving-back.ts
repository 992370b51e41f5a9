import assert from 'node:assert/strict'
import type { Delivery } from '../../../src/event-log/event-log.ts'
import { within } from '../../support/eventually.ts'
import {
  again,
  batchOf,
  idsIn,
  idsOf,
  landed,
  ledger,
  ledgerOf,
  named,
  perLane,
  take,
  takeAll,
} from '../event-log-verbs.ts'
import type { Story } from './story.ts'

export function givingBack(story: Story): void {
  story(
    'close returns unfinished deliveries to the group at once, with the attempt count they had before',
    async (bench) => {
      const first = await bench.consume()
      await bench.append('normal', batchOf(['a']))
      await bench.append('low', batchOf(['b']))
      const [a] = await take(first)
      await first.settle([again(a!, 0)])
      await takeAll(first)
      const other = await bench.consume()
      assert.deepEqual(await take(other), [])
      await first.close()
      await first.close()
      const deliveries = await takeAll(other)
      assert.deepEqual(deliveries.map((one) => [idsIn(one)[0], one.attempt]).sort(), [
        ['a', 2],
        ['b', 1],
      ])
    },
  )

  story('a delivery that is being settled when its consumer is closed is settled once', async (bench) => {
    const [consumer, other] = [await bench.consume(), await bench.consume()]
    for (const id of ['a', 'b']) await bench.append('normal', batchOf([id]))
    const [a, b] = await takeAll(consumer)
    await consumer.settle([again(a!, 0)])
    const [redelivery] = await take(consumer)
    const settling = consumer.settle([landed(redelivery!), landed(b!)])
    await consumer.close()
    assert.deepEqual(await settling, [])
    assert.deepEqual(await takeAll(other), [])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 2, landed: 2 }))
  })

  story('a returned entry keeps its attempt count after a crash', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a']))
    await take(consumer)
    await consumer.close()
    await bench.crash()
    const [delivery] = await take(await bench.consume())
    assert.equal(delivery?.attempt, 1)
    await bench.crash()
    const [second] = await take(await bench.consume())
    assert.equal(second?.attempt, 2)
  })

  story('an entry is suspect when a consumer died with it, not when it was returned or settled', async (bench) => {
    const first = await bench.consume()
    await bench.append('normal', batchOf(['returned']))
    await take(first)
    await first.close()
    await bench.append('normal', batchOf(['held']))
    await bench.append('low', batchOf(['retried']))
    const consumer = await bench.consume()
    const fresh = await takeAll(consumer)
    assert.deepEqual(marksOf(fresh), { returned: false, held: false, retried: false })
    await consumer.settle(fresh.filter((one) => idsIn(one)[0] === 'retried').map((one) => again(one, 0)))
    assert.deepEqual(marksOf(await takeAll(consumer)), { retried: false })
    await bench.crash()
    const second = await takeAll(await bench.consume())
    assert.deepEqual(marksOf(second), { returned: true, held: true, retried: true })
    assert.deepEqual(second.map((one) => one.attempt).sort(), [2, 2, 3])
  })

  story('a redelivery is suspect when `again` says so, until it is settled', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a', 'b']))
    const [delivery] = await take(consumer)
    const parts = ['a', 'b'].map((name) => ({
      batch: batchOf([name]),
      attempt: 1,
      dueAtMs: 0,
      isSuspect: name === 'a',
    }))
    await consumer.settle([{ delivery: delivery!, landed: 0, dead: 0, again: parts }])
    await bench.crash()
    const next = await bench.consume()
    const deliveries = await takeAll(next)
    assert.deepEqual(marksOf(deliveries), { a: true, b: false })
    assert.deepEqual(
      deliveries.map((one) => one.attempt),
      [2, 2],
    )
    await next.settle(deliveries.map((one) => again(one, 0)))
    assert.deepEqual(marksOf(await takeAll(next)), { a: false, b: false })
  })

  story('a returned entry is handed out before newer ones', async (bench) => {
    const [first, second] = [await bench.consume(), await bench.consume()]
    for (const name of ['a', 'b', 'c']) await bench.append('normal', batchOf(named(name, 1000)))
    assert.deepEqual(idsOf(await take(first, 1)), named('a', 1000))
    assert.deepEqual(idsOf(await take(second, 1)), named('b', 1000))
    await first.close()
    assert.deepEqual(idsOf(await takeAll(second)), [...named('a', 1000), ...named('c', 1000)])
  })

  story('a waiting consumer gets an entry that another member returns', async (bench) => {
    const [first, second] = [await bench.consume(), await bench.consume()]
    await bench.append('normal', batchOf(['a']))
    await take(first)
    const waiting = second.next({ maxEvents: perLane(10), maxWaitMs: 20_000 })
    await first.close()
    assert.deepEqual(idsOf(await within(5_000, 'the delivery', waiting)), ['a'])
  })

  story('a consumer that is closed while it waits gets an empty list, and cannot settle any more', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('high', batchOf(['a']))
    const [delivery] = await take(consumer)
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 20_000 })
    await bench.append('normal', batchOf(['b']))
    await consumer.close()
    const late = await within(5_000, 'the answer', waiting)
    assert.deepEqual(await consumer.settle([landed(delivery!)]), [delivery])
    assert.deepEqual(await consumer.settle(late.map(landed)), late)
    const rest = await takeAll(await bench.consume())
    assert.deepEqual(
      rest.map((one) => [idsIn(one)[0], one.attempt]),
      [
        ['a', 1],
        ['b', 1],
      ],
    )
  })
}

/** Whether each delivery is suspect, by the id of its first event. */
function marksOf(deliveries: readonly Delivery[]): Record<string, boolean> {
  return Object.fromEntries(deliveries.map((one) => [idsIn(one)[0], one.isSuspect]))
}
