import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeBatch } from '../event/record-batch.ts'
import { type Consumer, dueAtOnce } from '../event-log/event-log.ts'
import { KeyOrder } from './key-order.ts'
import { OpenDelivery } from './open-delivery.ts'

const stream = { topic: 'events', partition: 0, lane: 'normal' } as const
const consumer: Consumer = { next: async () => [], settle: async () => [], close: async () => {} }

/** Deliveries of an ordered group, of which the log had redeliveries of these keys before. */
function orderOf(...heldKeys: string[]) {
  const order = new KeyOrder()
  let offset = 100
  const enter = (keys: readonly string[], isKeyed = false, isFirstLease = false) => {
    const bytes = encodeBatch(keys.map((key, index) => ({ id: `${offset + index}`, type: 'order', key })))
    const position = { stream, epoch: 1, offset }
    offset += keys.length
    const batch = { bytes, count: keys.length, receivedAtMicros: 0 }
    const delivery = { id: `${offset}`, position, batch, attempt: 1, isSuspect: false, isKeyed, isFirstLease }
    const isNew = order.isNew(consumer, delivery)
    if (isNew) {
      const held = heldKeys.map((key) => ({ key, events: 1, attempt: 1, dueAtMs: 0 }))
      order.learn(consumer, stream, held)
    }
    const open = new OpenDelivery(consumer, delivery, 0, () => true)
    order.enter(open)
    const begins = keys.map((_, index) => order.admit({ open, index, onEnded() {} }))
    return { open, begins, isNew }
  }
  const done = (open: OpenDelivery, index: number) => {
    open.done(index)
    return order.ended(open, index)
  }
  const settled = (open: OpenDelivery) => {
    order.settling(open)
    order.settled(open)
  }
  return { order, heldKeys, enter, done, settled }
}

test('one event of a key begins at once, and the next one when it has ended', () => {
  const { enter, done } = orderOf()
  const { open, begins } = enter(['a', 'b', 'a', '', ''])
  assert.deepEqual(begins, [true, true, false, true, true])
  assert.equal(done(open, 1), undefined)
  assert.equal(done(open, 0)?.index, 2)
})

test('what comes behind an event that is tried again is returned, with its place and no attempt', () => {
  const { order, enter } = orderOf()
  const first = enter(['a', 'b', 'a'])
  const second = enter(['a'])
  assert.deepEqual(
    order.redeliver(first.open, 0, (key) => first.open.tryAgain(0, { dueAtMs: 500 }, key)),
    [first.open, second.open],
  )
  const third = enter(['a', 'b'])
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

test('an event whose key the log holds is returned, until its redeliveries are done', () => {
  const { enter, done } = orderOf('a')
  assert.deepEqual(enter(['a', 'b']).begins, [false, true])
  const redelivered = enter(['a'], true)
  assert.deepEqual(redelivered.begins, [true])
  done(redelivered.open, 0)
  assert.deepEqual(enter(['a']).begins, [false], 'the one that was returned is still to come')
  const second = enter(['a'], true)
  const third = enter(['a'], true)
  assert.deepEqual([second.begins, third.begins], [[true], [false]])
  assert.equal(done(second.open, 0)?.open, third.open)
  done(third.open, 0)
  assert.deepEqual(enter(['a']).begins, [true])
})

test('a delivery is settled after those before it that share a key', () => {
  const { order, enter, done } = orderOf()
  const first = enter(['a', 'b'])
  const second = enter(['a', 'c'])
  const third = enter(['c'])
  const other = enter(['d'])
  assert.deepEqual(
    [first, second, third, other].map(({ open }) => order.maySettle(open)),
    [true, false, false, true],
  )
  done(first.open, 0)
  done(first.open, 1)
  assert.deepEqual(order.settling(first.open), [second.open])
  assert.equal(order.maySettle(second.open), true)
  assert.equal(order.maySettle(enter(['a']).open), false, 'it follows the second')
  assert.equal(order.maySettle(enter(['b']).open), true, 'the first is being settled')
})

test('the keys of a stream are asked for again when nothing of it is in hand any more', () => {
  const { order, enter, done, settled } = orderOf('a')
  const inHand = [enter(['b']), enter(['c'])]
  assert.deepEqual(
    inHand.map(({ isNew }) => isNew),
    [true, false],
  )
  for (const { open } of inHand) done(open, 0)
  settled(inHand[0]!.open)
  const third = enter(['b'])
  done(third.open, 0)
  for (const { open } of [inHand[1]!, third]) settled(open)
  assert.equal(order.events, 0)
  assert.deepEqual([third.isNew, enter(['b']).isNew], [false, true])
})

test('the keys of a stream are asked for again when its leases were lost, whatever is still in hand', () => {
  const { heldKeys, enter, settled } = orderOf()
  const lost = enter(['x'])
  heldKeys.push('a')
  const first = enter(['a'], false, true)
  assert.deepEqual([first.isNew, first.begins], [true, [false]], 'it has an earlier event by now')
  settled(lost.open)
  assert.deepEqual([enter(['a']).isNew, enter(['b']).begins], [false, [true]])
})
