import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeBatch } from '../event/record-batch.ts'
import { type Consumer, dueAtOnce } from '../event-log/event-log.ts'
import type { Work } from './begin-rule.ts'
import { KeyOrder } from './key-order.ts'
import { OpenDelivery } from './open-delivery.ts'

const stream = { topic: 'events', partition: 0, lane: 'normal' } as const
const consumer: Consumer = { next: async () => [], settle: async () => [], close: async () => {} }

/** Deliveries of an ordered group, of which the log had redeliveries of these keys before. */
function orderOf(...heldKeys: string[]) {
  const begun: Work[] = []
  const mayEnd: OpenDelivery[] = []
  let asked = 0
  const order = new KeyOrder({
    begin: (work) => begun.push(work),
    settle: (open) => mayEnd.push(open),
    heldKeys: async () => {
      asked++
      return heldKeys.map((key) => ({ key, events: 1, attempt: 1, dueAtMs: 0 }))
    },
  })
  let offset = 100
  const enter = async (keys: readonly string[], isKeyed = false, isFirstLease = false) => {
    const bytes = encodeBatch(keys.map((key, index) => ({ id: `${offset + index}`, type: 'order', key })))
    const position = { stream, epoch: 1, offset }
    offset += keys.length
    const batch = { bytes, count: keys.length, receivedAtMicros: 0 }
    const delivery = { id: `${offset}`, position, batch, attempt: 1, isSuspect: false, isKeyed, isFirstLease }
    const before = asked
    assert.equal(await order.knows(consumer, delivery), true)
    const open = new OpenDelivery(consumer, delivery, 0, () => true)
    order.enter(open)
    const begins = keys.map((_, index) => order.admit({ open, index, onEnded() {} }))
    return { open, begins, isNew: asked > before }
  }
  /** @returns the event that begins because of it. */
  const done = (open: OpenDelivery, index: number) => {
    open.done(index)
    order.ended({ open, index })
    return begun.splice(0)[0]
  }
  const settled = (open: OpenDelivery) => {
    order.settling(open)
    order.settled(open)
  }
  return { order, heldKeys, enter, done, settled, mayEnd }
}

test('one event of a key begins at once, and the next one when it has ended', async () => {
  const { enter, done } = orderOf()
  const { open, begins } = await enter(['a', 'b', 'a', '', ''])
  assert.deepEqual(begins, [true, true, false, true, true])
  assert.equal(done(open, 1), undefined)
  assert.equal(done(open, 0)?.index, 2)
})

test('what comes behind an event that is tried again is returned, with its place and no attempt', async () => {
  const { order, enter, mayEnd } = orderOf()
  const first = await enter(['a', 'b', 'a'])
  const second = await enter(['a'])
  order.redeliver({ open: first.open, index: 0 }, (key) => first.open.tryAgain(0, { dueAtMs: 500 }, key))
  assert.deepEqual(mayEnd, [first.open, second.open])
  const third = await enter(['a', 'b'])
  assert.deepEqual([third.begins, third.open.pending.size], [[false, false], 1])
  const again = [first, second, third].flatMap(({ open }) => open.outcome().again!)
  assert.deepEqual(
    again.map(({ offset, key, attempt, dueAtMs }) => [offset, key, attempt, dueAtMs]),
    [
      [100, 'a', 1, 500],
      [102, 'a', 0, dueAtOnce],
      [103, 'a', 0, dueAtOnce],
      [104, 'a', 0, dueAtOnce],
    ],
  )
})

test('an event whose key the log holds is returned, until its redeliveries are done', async () => {
  const { enter, done } = orderOf('a')
  assert.deepEqual((await enter(['a', 'b'])).begins, [false, true])
  const redelivered = await enter(['a'], true)
  assert.deepEqual(redelivered.begins, [true])
  done(redelivered.open, 0)
  assert.deepEqual((await enter(['a'])).begins, [false], 'the one that was returned is still to come')
  const second = await enter(['a'], true)
  const third = await enter(['a'], true)
  assert.deepEqual([second.begins, third.begins], [[true], [false]])
  assert.equal(done(second.open, 0)?.open, third.open)
  done(third.open, 0)
  assert.deepEqual((await enter(['a'])).begins, [true])
})

test('a delivery is settled after those before it that share a key', async () => {
  const { order, enter, done, mayEnd } = orderOf()
  const first = await enter(['a', 'b'])
  const second = await enter(['a', 'c'])
  const third = await enter(['c'])
  const other = await enter(['d'])
  assert.deepEqual(
    [first, second, third, other].map(({ open }) => order.maySettle(open)),
    [true, false, false, true],
  )
  done(first.open, 0)
  done(first.open, 1)
  order.settling(first.open)
  assert.deepEqual(mayEnd, [second.open])
  assert.equal(order.maySettle(second.open), true)
  assert.equal(order.maySettle((await enter(['a'])).open), false, 'it follows the second')
  assert.equal(order.maySettle((await enter(['b'])).open), true, 'the first is being settled')
})

test('the keys of a stream are asked for again when nothing of it is in hand any more', async () => {
  const { order, enter, done, settled } = orderOf('a')
  const inHand = [await enter(['b']), await enter(['c'])]
  assert.deepEqual(
    inHand.map(({ isNew }) => isNew),
    [true, false],
  )
  for (const { open } of inHand) done(open, 0)
  settled(inHand[0]!.open)
  const third = await enter(['b'])
  done(third.open, 0)
  for (const { open } of [inHand[1]!, third]) settled(open)
  assert.equal(order.events, 0)
  assert.deepEqual([third.isNew, (await enter(['b'])).isNew], [false, true])
})

test('the keys of a stream are asked for again when its leases were lost, whatever is still in hand', async () => {
  const { heldKeys, enter, settled } = orderOf()
  const lost = await enter(['x'])
  heldKeys.push('a')
  const first = await enter(['a'], false, true)
  assert.deepEqual([first.isNew, first.begins], [true, [false]], 'it has an earlier event by now')
  settled(lost.open)
  assert.deepEqual([(await enter(['a'])).isNew, (await enter(['b'])).begins], [false, [true]])
})
