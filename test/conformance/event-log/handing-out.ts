import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { lanes } from '../../../src/event/event.ts'
import { within } from '../../support/eventually.ts'
import {
  batchOf,
  group,
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

export function handingOut(story: Story): void {
  story('joining an undeclared topic or group rejects with not_found', async (bench) => {
    await assert.rejects(bench.log.consume(topic, 'unknown', { leaseMs }), isCode('not_found'))
    await assert.rejects(bench.log.consume('unknown', group, { leaseMs }), isCode('not_found'))
  })

  story('next hands out entries that no member holds, oldest first in each lane', async (bench) => {
    for (const id of ['a', 'b', 'c']) {
      await bench.append('normal', batchOf([`n${id}`]))
      await bench.append('low', batchOf([`l${id}`]))
    }
    const deliveries = await takeAll(await bench.consume())
    const ids = idsOf(deliveries)
    for (const lane of ['n', 'l']) {
      assert.deepEqual(
        ids.filter((id) => id.startsWith(lane)),
        [`${lane}a`, `${lane}b`, `${lane}c`],
      )
    }
    assert.ok(deliveries.every(({ attempt }) => attempt === 1))
    assert.equal(new Set(deliveries.map(({ id }) => id)).size, deliveries.length)
  })

  story('next resolves with an empty list when no entry arrived within maxWaitMs', async (bench) => {
    const consumer = await bench.consume()
    assert.deepEqual(await take(consumer), [])
    const startedAt = performance.now()
    assert.deepEqual(await consumer.next({ maxEvents: perLane(10), maxWaitMs: 100 }), [])
    assert.ok(performance.now() - startedAt >= 95)
  })

  story('a waiting consumer gets an entry as soon as it is durable', async (bench) => {
    const consumer = await bench.consume()
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 20_000 })
    await bench.append('normal', batchOf(['a']))
    assert.deepEqual(idsOf(await within(5_000, 'the delivery', waiting)), ['a'])
  })

  story('maxEvents of 0 excludes a lane', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('low', batchOf(['low']))
    await bench.append('high', batchOf(['high']))
    const some = await consumer.next({ maxEvents: { high: 0, normal: 10, low: 10 }, maxWaitMs: 0 })
    assert.deepEqual(idsOf(some), ['low'])
    assert.deepEqual(await consumer.next({ maxEvents: { high: 0, normal: 10, low: 10 }, maxWaitMs: 50 }), [])
    assert.deepEqual(idsOf(await take(consumer)), ['high'])
  })

  story(
    'entries are not split: the first entry of a lane is handed out even when it has more than maxEvents',
    async (bench) => {
      const consumer = await bench.consume()
      await bench.append('normal', batchOf(named('a', 1000)))
      await bench.append('normal', batchOf(named('b', 1000)))
      await bench.append('low', batchOf(named('c', 1000)))
      const ids = idsOf(await take(consumer, 3))
      assert.deepEqual(
        ids.filter((id) => id.startsWith('a')),
        named('a', 1000),
      )
      assert.deepEqual(
        ids.filter((id) => !id.startsWith('a')),
        named('c', 1000),
      )
      assert.deepEqual(idsOf(await take(consumer, 1001)), named('b', 1000))
    },
  )

  story('beyond the first entry of a lane, no more than maxEvents are handed out', async (bench) => {
    const consumer = await bench.consume()
    for (const name of ['a', 'b', 'c', 'd']) await bench.append('normal', batchOf(named(name, 600)))
    assert.equal(idsOf(await take(consumer, 1300)).length, 1200)
    assert.equal(idsOf(await take(consumer, 1200)).length, 1200)
  })

  story('no more than maxBytes are handed out, except for a larger first entry', async (bench) => {
    const consumer = await bench.consume()
    for (const name of ['a', 'b', 'c', 'd']) await bench.append('normal', batchOf([name]))
    const { length: bytes } = batchOf(['a']).bytes
    const next = (maxBytes: number) => consumer.next({ maxEvents: perLane(100), maxBytes, maxWaitMs: 0 })
    assert.deepEqual(idsOf(await next(3 * bytes - 1)), ['a', 'b'])
    assert.deepEqual(idsOf(await next(1)), ['c'])
    assert.deepEqual(idsOf(await next(1)), ['d'])
  })

  story('each partition that has work gets an equal share of a call, then the rest is filled', async (bench) => {
    const busy = named('a', 60)
    for (const id of busy) await bench.log.append(stream(), [batchOf([id])])
    for (const id of named('b', 9)) await bench.log.append(stream('normal', 1), [batchOf([id])])
    const consumer = await bench.consume()
    const { length: bytes } = batchOf([busy[0]!]).bytes
    const counts: number[][] = []
    for (const bounds of [
      { maxEvents: perLane(4) },
      { maxEvents: perLane(99), maxBytes: 4 * bytes },
      { maxEvents: perLane(20) },
    ]) {
      const ids = idsOf(await consumer.next({ ...bounds, maxWaitMs: 0 }))
      counts.push([ids.filter((id) => id.startsWith('a')).length, ids.filter((id) => id.startsWith('b')).length])
    }
    assert.deepEqual(counts, [
      [2, 2],
      [2, 2],
      [15, 5],
    ])
  })

  story('members of a group compete: an entry is leased to at most one of them', async (bench) => {
    const consumers = await Promise.all([bench.consume(), bench.consume(), bench.consume()])
    const expected = named('e', 300)
    const waiting = consumers.map((consumer) => consumer.next({ maxEvents: perLane(40), maxWaitMs: 300 }))
    await Promise.all(expected.map((id) => bench.log.append(stream(lanes[id.length % 3]!), [batchOf([id])])))
    const got = idsOf((await Promise.all(waiting)).flat())
    for (const consumer of consumers) got.push(...idsOf(await takeAll(consumer)))
    assert.deepEqual(got.sort(), expected.sort())
  })

  story('groups do not take entries from one another', async (bench) => {
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'second' }] })
    await bench.append('normal', batchOf(named('a', 3)))
    const first = await bench.consume()
    await first.settle((await take(first)).map(landed))
    assert.deepEqual(idsOf(await take(await bench.consume('second'))), named('a', 3))
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, landed: 3 }))
    assert.deepEqual(await ledgerOf(bench.log, 'second'), ledger({ accepted: 3, waiting: 3, inFlight: 3 }))
  })

  story(
    'the attempt is recorded before the delivery is handed out: a holder that dies has used it up',
    async (bench) => {
      await bench.append('normal', batchOf(['a']))
      for (const attempt of [1, 2, 3]) {
        const [delivery, ...more] = await take(await bench.consume())
        assert.equal(delivery?.attempt, attempt)
        assert.deepEqual(more, [])
        await bench.crash()
      }
    },
  )

  story('an aborted next resolves with an empty list, and nothing is handed out', async (bench) => {
    const consumer = await bench.consume()
    const stop = new AbortController()
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 20_000, signal: stop.signal })
    stop.abort()
    assert.deepEqual(await within(5_000, 'the answer', waiting), [])
    // Also when the abort comes while an entry is being handed out: at different moments of that call.
    for (let round = 0; round < 20; round++) {
      const stopThis = new AbortController()
      const late = consumer.next({ maxEvents: perLane(10), maxWaitMs: 20_000, signal: stopThis.signal })
      const append = bench.append('normal', batchOf([`r${round}`]))
      await sleep(round % 4)
      stopThis.abort()
      const got = await late
      await append
      const rest = got.length > 0 ? [] : await consumer.next({ maxEvents: perLane(10), maxWaitMs: 5_000 })
      assert.deepEqual(idsOf([...got, ...rest]), [`r${round}`])
      assert.equal([...got, ...rest][0]?.attempt, 1)
      await consumer.settle([...got, ...rest].map(landed))
    }
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 20, landed: 20 }))
  })

  story('after a crash every unsettled event is handed out, and no settled one, in order', async (bench) => {
    const consumer = await bench.consume()
    for (let index = 0; index < 30; index++) await bench.append('normal', batchOf(named(`${index}.`, 40)))
    const deliveries = await takeAll(consumer)
    const settled = deliveries.filter((_, index) => index % 3 === 1)
    await consumer.settle(settled.map(landed))
    const expected = idsOf(deliveries.filter((delivery) => !settled.includes(delivery)))
    await bench.crash()
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), expected)
  })
}
