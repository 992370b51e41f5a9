import assert from 'node:assert/strict'
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
  stream,
  takeAll,
  topic,
} from '../event-log-verbs.ts'
import type { Story } from './story.ts'

export function describing(story: Story): void {
  story('the terms of the ledger add up in every state, and the audit agrees', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 700)))
    await bench.append('low', batchOf(named('b', 600)))
    await bench.log.append(stream('high', 1), [batchOf(named('c', 500))])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1800, waiting: 1800 }))
    const deliveries = await takeAll(consumer)
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1800, waiting: 1800, inFlight: 1800 }))
    const [first, second, third] = deliveries
    await consumer.settle([landed(second!)])
    await consumer.settle([again(third!, bench.under.now() + 1e6)])
    const left = first!.batch.count + third!.batch.count
    const terms = { accepted: 1800, waiting: left, landed: second!.batch.count }
    assert.deepEqual(await ledgerOf(bench.log), ledger({ ...terms, inFlight: first!.batch.count }))
    await bench.restart()
    assert.deepEqual(await ledgerOf(bench.log), ledger(terms))
  })

  story('a description has the time when the oldest waiting event was received', async (bench) => {
    const consumer = await bench.consume()
    assert.equal((await describeGroup(bench.log)).oldestWaitingMicros, null)
    await bench.append('normal', batchOf(['a'], 1_700_000_000_000_000))
    await bench.append('high', batchOf(['b'], 1_700_000_005_000_000))
    assert.equal((await describeGroup(bench.log)).oldestWaitingMicros, 1_700_000_000_000_000)
    const deliveries = await takeAll(consumer)
    assert.equal((await describeGroup(bench.log)).oldestWaitingMicros, 1_700_000_000_000_000)
    await consumer.settle(deliveries.filter((one) => idsIn(one)[0] === 'a').map(landed))
    assert.equal((await describeGroup(bench.log)).oldestWaitingMicros, 1_700_000_005_000_000)
    await consumer.settle(deliveries.filter((one) => idsIn(one)[0] === 'b').map(landed))
    assert.equal((await describeGroup(bench.log)).oldestWaitingMicros, null)
  })

  story('a description has the events that are scheduled: redeliveries that are not due yet', async (bench) => {
    const scheduled = async () => (await describeGroup(bench.log)).scheduled
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 3)))
    await bench.append('high', batchOf(['b']))
    await bench.append('low', batchOf(['c']))
    await bench.log.append(stream('low', 1), [batchOf(named('d', 5))])
    assert.equal(await scheduled(), 0)
    const laterMs = bench.under.now() + 60_000
    const dueAtMs: Record<string, number> = { a0: laterMs, b: 0, c: laterMs + 60_000, d0: laterMs }
    await consumer.settle((await takeAll(consumer)).map((one) => again(one, dueAtMs[idsIn(one)[0]!]!)))
    assert.equal(await scheduled(), 9)
    await bench.log.reopen(stream(), group, [{ batch: batchOf(['e']), attempt: 1, offset: 0 }])
    assert.equal(await scheduled(), 9, 'what is reopened is due at once')
    await bench.restart()
    assert.equal(await scheduled(), 9)
    await bench.under.passTime(60_000)
    assert.equal(await scheduled(), 1)
    assert.equal(idsOf(await takeAll(await bench.consume())).length, 10)
    assert.equal(await scheduled(), 1)
  })

  story('a description counts the scheduled events of 20,000 entries, and not those of more', async (bench) => {
    const consumer = await bench.consume()
    const dueAtMs = bench.under.now() + 1e6
    for (let at = 0; at < 20; at++) await bench.append(at < 5 ? 'high' : 'low', batchOf(named(`a${at}-`, 1000)))
    await bench.append('low', batchOf(['last']))
    const [last, ...thousands] = (await takeAll(consumer)).toReversed()
    for (const delivery of thousands) {
      const one = batchOf(['x'])
      const agains = Array.from({ length: 1000 }, () => ({ batch: one, attempt: 1, dueAtMs }))
      assert.deepEqual(await consumer.settle([{ delivery, landed: 0, dead: 0, again: agains }]), [])
    }
    assert.equal((await describeGroup(bench.log)).scheduled, 20_000)
    await consumer.settle([again(last!, dueAtMs)])
    assert.equal((await describeGroup(bench.log)).scheduled, null)
  })

  story('what a process says of itself is kept until it takes it back', async (bench) => {
    assert.deepEqual(await bench.log.announce('a', '{"n":1}', 60_000), new Map([['a', '{"n":1}']]))
    assert.deepEqual(await bench.log.announce('a', 'line\nline', 60_000), new Map([['a', 'line\nline']]))
    assert.deepEqual(await bench.log.announce('a', '', 60_000), new Map())
  })

  story('a description says whether a group has consumers: they have joined, and not left or died', async (bench) => {
    const hasConsumers = async () => (await describeGroup(bench.log)).hasConsumers
    assert.equal(await hasConsumers(), false)
    const consumer = await bench.consume()
    assert.equal(await hasConsumers(), true)
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'other' }] })
    assert.equal((await describeGroup(bench.log, 'other')).hasConsumers, false)
    await consumer.close()
    assert.equal(await hasConsumers(), false)
    await bench.consume()
    await bench.crash()
    await hasConsumers()
    await bench.under.passTime(leaseMs)
    assert.equal(await hasConsumers(), false)
  })

  story("a description has the end of each partition's streams", async (bench) => {
    await bench.append('normal', batchOf(named('a', 3)))
    await bench.log.append(stream('high', 1), [batchOf(named('b', 2))])
    await bench.crash()
    const { topics } = await bench.log.describe()
    assert.deepEqual(
      topics[0]!.streams.map(({ partition, lane, nextOffset }) => [partition, lane, nextOffset]).toSorted(),
      [
        [0, 'high', 0],
        [0, 'low', 0],
        [0, 'normal', 3],
        [1, 'high', 2],
        [1, 'low', 0],
        [1, 'normal', 0],
      ],
    )
    await bench.log.declare('idle', { partitions: 2, groups: [] })
    assert.deepEqual((await bench.log.describe()).topics.find(({ name }) => name === 'idle')?.streams, [])
  })

  story('a description has the bytes that the log occupies, and their limit', async (bench) => {
    const before = await bench.log.describe()
    await bench.append('normal', batchOf(named('x'.repeat(1000), 2000)))
    const { usedBytes, limitBytes } = await bench.log.describe()

    assert.ok(before.usedBytes !== null && before.usedBytes > 0)
    assert.ok(usedBytes! - before.usedBytes >= 1_000_000, `2 MB of events took ${usedBytes! - before.usedBytes} bytes`)
    assert.equal(limitBytes, null)
  })

  story('a description is read from durable state: it includes an append that has resolved', async (bench) => {
    const append = bench.append('normal', batchOf(named('a', 10)))
    const during = await ledgerOf(bench.log)
    await append
    assert.ok([0, 10].includes(during.waiting))
    assert.equal(during.accepted, during.waiting)
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 10, waiting: 10 }))
  })
}
