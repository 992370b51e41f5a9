import assert from 'node:assert/strict'
import { type Delivery, maxHeldEvents, never } from '../../../src/event-log/event-log.ts'
import { within } from '../../support/eventually.ts'
import type { Bench } from '../event-log-bench.ts'
import {
  again,
  batchOf,
  describeGroup,
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

const ordered = 'ordered'

export function ordering(story: Story): void {
  story('a group keeps whether it is ordered, and another declaration is refused', async (bench) => {
    await declareOrdered(bench)
    await bench.restart()
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: ordered }] })
    await declareOrdered(bench)
    const declare = (name: string, isOrdered: boolean) =>
      bench.log.declare(topic, { partitions: 2, groups: [{ name: 'new' }, { name, ordered: isOrdered }] })
    assert.deepEqual(
      [(await describeGroup(bench.log, ordered)).ordered, (await describeGroup(bench.log)).ordered],
      [true, false],
    )
    await assert.rejects(declare(ordered, false), isCode('failed_precondition'))
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'plain' }] })
    await assert.rejects(declare('plain', true), isCode('failed_precondition'))
    await assert.rejects(bench.consume('new'), isCode('not_found'))
    await bench.log.dropGroup(topic, ordered)
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: ordered, ordered: false }] })
  })

  story('a stream of an ordered group has one consumer at a time', async (bench) => {
    await declareOrdered(bench)
    const [first, second] = [await bench.consume(ordered), await bench.consume(ordered)]
    for (const id of ['a', 'b', 'c']) await bench.append('normal', batchOf([id]))
    const [a] = await take(first, 1)
    assert.deepEqual(idsIn(a!), ['a'])
    assert.deepEqual(await take(second), [], 'the stream is taken')
    await bench.append('high', batchOf(['high']))
    await bench.log.append(stream('normal', 1), [batchOf(['other partition'])])
    assert.deepEqual(idsOf(await takeAll(second)).sort(), ['high', 'other partition'])
    const waiting = second.next({ maxEvents: perLane(1), maxWaitMs: 20_000 })
    await first.settle([landed(a!)])
    assert.deepEqual(idsOf(await within(5000, 'what the first one has let go', waiting)), ['b'])
    assert.deepEqual(await take(first), [])
  })

  story('a delivery says whether the consumer of an ordered group held nothing of the stream before', async (bench) => {
    await declareOrdered(bench)
    const [consumer, other] = [await bench.consume(ordered), await bench.consume(ordered)]
    const plain = await bench.consume()
    const firsts = (deliveries: readonly Delivery[]) =>
      deliveries.filter(({ isFirstLease }) => isFirstLease).map((one) => idsIn(one)[0])
    for (const id of ['a', 'b', 'c', 'd']) await bench.append('normal', batchOf([id]))
    const [a, b] = await take(consumer, 2)
    await bench.append('high', batchOf(['high']))
    const more = await take(consumer, 1)
    assert.deepEqual([firsts([a!, b!]), firsts(more)], [['a'], ['high']])
    await consumer.settle([keyed(a!, [0], 'k'), landed(b!), ...more.map(landed)])
    const redelivered = await take(other, 1)
    await other.settle(redelivered.map(landed))
    const last = await takeAll(consumer)
    assert.deepEqual([idsOf(redelivered), firsts(redelivered), idsOf(last), firsts(last)], [['a'], ['a'], ['d'], ['d']])
    assert.deepEqual(firsts(await takeAll(plain)), [])
  })

  story('a redelivery in hand keeps other consumers from the stream, and they go on after it', async (bench) => {
    await declareOrdered(bench)
    const [first, second] = [await bench.consume(ordered), await bench.consume(ordered)]
    await bench.append('normal', batchOf(['a']))
    await first.settle([again((await take(first))[0]!, 0)])
    const [held] = await take(first)
    await bench.append('normal', batchOf(['b']))
    assert.deepEqual(await take(second), [])
    const waiting = second.next({ maxEvents: perLane(10), maxWaitMs: 20_000 })
    await first.close()
    assert.equal(held!.attempt, 2)
    assert.deepEqual(idsOf(await within(5000, 'what was returned', waiting)).sort(), ['a', 'b'])
  })

  story('a consumer that died lets its streams go', async (bench) => {
    await declareOrdered(bench)
    for (const id of ['a', 'b']) await bench.append('normal', batchOf([id]))
    await take(await bench.consume(ordered), 1)
    await bench.crash()
    assert.deepEqual(idsOf(await takeAll(await bench.consume(ordered))), ['a', 'b'])
  })

  story('redeliveries of one key come one at a time, in the order of their offsets', async (bench) => {
    await declareOrdered(bench)
    const consumer = await bench.consume(ordered)
    await bench.append('normal', batchOf(named('a', 4)))
    await bench.append('normal', batchOf(['b']))
    const [first, second] = await takeAll(consumer)
    // Not in the order in which they must come.
    await consumer.settle([keyed(first!, [3, 1], 'k'), keyed(second!, [0], 'other')])
    const found = await takeAll(consumer)
    assert.deepEqual(idsOf(found).sort(), ['a1', 'b'])
    assert.ok(found.every(({ isKeyed }) => isKeyed))
    const [a1] = found.filter((one) => idsIn(one)[0] === 'a1')
    assert.deepEqual([a1!.position.offset, a1!.attempt], [1, 2])
    assert.deepEqual(await keysOf(bench), { k: [2, 2], other: [1, 2] })
    await consumer.settle([landed(a1!)])
    const [a3, ...more] = await takeAll(consumer)
    assert.deepEqual([idsIn(a3!), a3!.position.offset, more.length], [['a3'], 3, 0])
    await consumer.settle([landed(a3!)])
    assert.deepEqual(await keysOf(bench), { other: [1, 2] })
    assert.deepEqual(await ledgerOf(bench.log, ordered), ledger({ accepted: 5, landed: 4, waiting: 1, inFlight: 1 }))
  })

  story('the first of a key that must come again holds the others until it is due and settled', async (bench) => {
    await declareOrdered(bench)
    const consumer = await bench.consume(ordered)
    await bench.append('normal', batchOf(named('a', 3)))
    await consumer.settle([keyed((await take(consumer))[0]!, [0, 1, 2], 'k')])
    const dueAtMs = bench.under.now() + 60_000
    await consumer.settle([keyed((await take(consumer))[0]!, [0], 'k', dueAtMs)])
    assert.deepEqual(await takeAll(consumer), [])
    await bench.crash()
    const next = await bench.consume(ordered)
    assert.deepEqual(await takeAll(next), [])
    assert.deepEqual((await bench.log.heldKeys(stream(), ordered))[0], { key: 'k', events: 3, attempt: 2, dueAtMs })
    await bench.under.passTime(60_000)
    const got: string[] = []
    for (let some = await take(next); some.length > 0; some = await take(next)) {
      got.push(idsOf(some).join())
      await next.settle(some.map(landed))
    }
    assert.deepEqual(got, ['a0', 'a1', 'a2'])
    assert.deepEqual(await keysOf(bench), {})
  })

  story(
    'a redelivery with a key that is returned, or whose holder died, is still the first of its key',
    async (bench) => {
      await declareOrdered(bench)
      const first = await bench.consume(ordered)
      await bench.append('normal', batchOf(named('a', 2)))
      await first.settle([keyed((await take(first))[0]!, [0, 1], 'k')])
      assert.deepEqual(idsOf(await takeAll(first)), ['a0'])
      await first.close()
      const second = await bench.consume(ordered)
      const [returned] = await takeAll(second)
      assert.deepEqual([idsIn(returned!), returned!.attempt], [['a0'], 2])
      await bench.crash()
      const third = await bench.consume(ordered)
      const [left, ...more] = await takeAll(third)
      assert.deepEqual([idsIn(left!), left!.attempt, left!.isSuspect, more.length], [['a0'], 3, true, 0])
    },
  )

  story('an earlier event of a key goes before those that are held', async (bench) => {
    await declareOrdered(bench)
    const consumer = await bench.consume(ordered)
    await bench.append('normal', batchOf(named('a', 2)))
    await bench.append('normal', batchOf(['b']))
    const [a, b] = await takeAll(consumer)
    await consumer.settle([keyed(b!, [0], 'k', bench.under.now() + 60_000)])
    await consumer.settle([keyed(a!, [1], 'k')])
    const [a1, ...more] = await takeAll(consumer)
    assert.deepEqual([idsIn(a1!), more.length], [['a1'], 0])
    await consumer.settle([landed(a1!)])
    assert.deepEqual(idsOf(await takeAll(consumer)), ['b'])
  })

  story('what a consumer returns as due at 0 goes before what the log makes due at once', async (bench) => {
    await declareOrdered(bench)
    const consumer = await bench.consume(ordered)
    for (const id of ['first', 'freed', 'released', 'urgent']) await bench.append('normal', batchOf([id]))
    const [first, freed, released, urgent] = await takeAll(consumer)
    await consumer.settle([keyed(first!, [0], 'k'), keyed(freed!, [0], 'k')])
    const found = await takeAll(consumer)
    await consumer.settle([keyed(released!, [0], 'released', never)])
    await bench.log.release(stream(), ordered, 'released', null)
    await bench.log.reopen(stream(), ordered, [{ batch: batchOf(['reopened']), attempt: 1, offset: 0 }])
    await consumer.settle(found.map(landed))
    await consumer.settle([keyed(urgent!, [0], 'urgent')])
    assert.deepEqual(idsOf(await take(consumer, 1)), ['urgent'])
    assert.deepEqual(idsOf(await takeAll(consumer)).sort(), ['freed', 'released', 'reopened'])
  })

  story('a key is redelivered in batches of one event', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 2)))
    const [delivery] = await take(consumer)
    await assert.rejects(consumer.settle([again(delivery!, 0, { key: 'k' })]), isCode('internal'))
    assert.deepEqual(await consumer.settle([landed(delivery!)]), [])
  })

  story('an ordered group with too many redeliveries in a stream gets nothing else of it', async (bench) => {
    await declareOrdered(bench)
    const consumer = await bench.consume(ordered)
    const batches = Array.from({ length: maxHeldEvents / 1000 }, (_, index) => batchOf(named(`a${index}.`, 1000)))
    for (const batch of batches) await bench.append('normal', batch)
    for (const delivery of await takeAll(consumer)) {
      await consumer.settle([keyed(delivery, [...Array(1000).keys()], 'k')])
    }
    await bench.append('normal', batchOf(['new']))
    await bench.append('low', batchOf(['low']))
    const found = await takeAll(consumer)
    assert.deepEqual(idsOf(found), ['a0.0', 'low'])
    await consumer.settle([landed(found[0]!)])
    assert.deepEqual(idsOf(await takeAll(consumer)).sort(), ['a0.1', 'new'])
  })

  story('the held keys of an unknown topic, partition or group reject with not_found', async (bench) => {
    await assert.rejects(bench.log.heldKeys(stream(), 'unknown'), isCode('not_found'))
    await assert.rejects(bench.log.heldKeys(stream('normal', 7), 'landing'), isCode('not_found'))
    await assert.rejects(bench.log.heldKeys({ ...stream(), topic: 'unknown' }, 'landing'), isCode('not_found'))
  })
}

async function declareOrdered(bench: Bench): Promise<void> {
  await bench.log.declare(topic, { partitions: 2, groups: [{ name: ordered, ordered: true }] })
}

/** The outcome of a delivery some of whose events are to be redelivered with a key; the others landed. */
function keyed(delivery: Delivery, indexes: readonly number[], key: string, dueAtMs = 0) {
  const { batch, attempt, position } = delivery
  const ids = idsIn(delivery)
  const redelivered = indexes.map((index) => {
    return { batch: batchOf([ids[index]!]), attempt, dueAtMs, key, offset: position.offset + index }
  })
  return { delivery, landed: batch.count - indexes.length, dead: 0, again: redelivered }
}

/** Events and attempts of each held key. */
async function keysOf(bench: Bench): Promise<Record<string, readonly number[]>> {
  const keys = await bench.log.heldKeys(stream(), ordered)
  return Object.fromEntries(keys.map(({ key, events, attempt }) => [key, [events, attempt]]))
}
