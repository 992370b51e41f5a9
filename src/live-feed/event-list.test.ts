// Compares each reader of a list with a list of its own that drops its oldest events.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../test/support/random.ts'
import { eventAt, gapBefore } from './backlog.test-support.ts'
import type { LogGap } from './backlog.ts'
import { EventList } from './event-list.ts'
import type { BufferedEvent } from './live-event.ts'

test('each reader of a list loses exactly what a buffer of its own would have dropped, whatever the others read', (t) => {
  const random = seededRandom(t)
  for (let run = 0; run < 6; run++) {
    const maxBytes = random.between(100, 30_000)
    const list = new EventList(maxBytes)
    const joined = () => {
      const maxEvents = random.between(1, 400)
      return { maxEvents, reader: list.join(maxEvents), waiting: [] as (BufferedEvent | LogGap)[], dropped: 0 }
    }
    let readers = Array.from({ length: random.between(1, 6) }, joined)
    // One that never reads.
    const stuck = readers[0]!
    for (let step = 0; step < 2000; step++) {
      const chance = random.next()
      const each = random.pick(readers)
      if (chance < 0.8) {
        const event = eventAt(step, '', random.between(0, 200))
        list.push(event)
        for (const { waiting } of readers) waiting.push(event)
      } else if (chance < 0.805) {
        const gap = gapBefore(step)
        list.pushGap(gap)
        for (const { waiting } of readers) waiting.push(gap)
      } else if (chance < 0.82 && each !== stuck) {
        each.reader.close()
        readers = readers.filter((other) => other !== each)
        readers.push(joined())
      } else if (each !== stuck) {
        takeAsModel(each, random.between(1, 2000), maxBytes)
      }
      for (const { reader, waiting, maxEvents } of readers) {
        const start = startOf(waiting, maxEvents, maxBytes)
        const kept = waiting.slice(start).filter(isEvent)
        assert.deepEqual(
          [reader.events, reader.bytes, reader.droppedEvents, reader.isEmpty, reader.first()],
          [
            kept.length,
            bytesOf(kept),
            waiting.slice(0, start).filter(isEvent).length,
            waiting.length === 0,
            kept[0] ?? null,
          ],
        )
      }
    }
    for (const each of readers) while (each.waiting.length > 0) takeAsModel(each, 5000, maxBytes)
    assert.equal(list.size, 0)
  }
})

test('a list holds no more than its largest reader may have, and nothing when all have read', () => {
  const list = new EventList(1e9)
  const [small, large] = [list.join(10), list.join(1000)]
  for (let number = 0; number < 5000; number++) list.push(eventAt(number, '', 10))
  assert.ok(list.size >= 1000 && list.size < 1300, `${list.size}`)
  large.close()
  for (let number = 5000; number < 5300; number++) list.push(eventAt(number, '', 10))
  assert.ok(list.size < 300, `${list.size}`)
  while (small.take(1e9) !== null);
  assert.equal(list.size, 0)
})

test('a log that is damaged everywhere fills no memory with gaps, and what they hid is said to be unknown', () => {
  const list = new EventList(1e9)
  const reader = list.join(1000)
  for (let number = 0; number < 500; number++) {
    list.pushGap(gapBefore(number))
    list.push(eventAt(number, '', 0))
  }
  const first = reader.take(1e9)
  assert.deepEqual(first, { dropped: null, to: '-467', isBetween: false })
  const events: number[] = []
  for (let taken = reader.take(1e9); taken !== null; taken = reader.take(1e9))
    if ('events' in taken) for (const { offsetsBefore } of taken.events) events.push(offsetsBefore)
  assert.deepEqual(
    events,
    Array.from({ length: 33 }, (_, index) => 467 + index),
  )
})

interface Modelled {
  readonly reader: ReturnType<EventList['join']>
  readonly waiting: (BufferedEvent | LogGap)[]
  readonly maxEvents: number
}

/** Gaps stay when the events around them are dropped. */
function takeAsModel({ reader, waiting, maxEvents }: Modelled, takeBytes: number, maxBytes: number): void {
  const taken = reader.take(takeBytes)
  if (waiting.length === 0) {
    assert.equal(taken, null)
    return
  }
  const gap = waiting.findIndex((item) => !isEvent(item))
  const end = gap < 0 ? waiting.length : gap
  const dropped = Math.min(startOf(waiting, maxEvents, maxBytes), end)
  const [last, next] = [waiting[dropped - 1], waiting[dropped]]
  if (last !== undefined) {
    const to = next !== undefined && !isEvent(next) ? next.from : (last as BufferedEvent).cursor
    waiting.splice(0, dropped)
    assert.deepEqual(taken, { dropped, to, isBetween: false })
    return
  }
  if (gap === 0) {
    assert.equal(taken, waiting.shift())
    return
  }
  assert.ok(taken !== null && 'events' in taken)
  const { events } = taken
  assert.deepEqual(events, waiting.splice(0, events.length))
  assert.ok(events.length === 1 || bytesOf(events) <= takeBytes)
  const following = waiting[0]
  if (events.length < end) assert.ok(bytesOf(events) + (following as BufferedEvent).bytes.length > takeBytes)
}

/** The index of the first event that its bounds leave; with nothing but gaps, the end. */
function startOf(waiting: readonly (BufferedEvent | LogGap)[], maxEvents: number, maxBytes: number): number {
  let [events, bytes] = [0, 0]
  for (let start = waiting.length; start > 0; start--) {
    const item = waiting[start - 1]!
    if (!isEvent(item)) continue
    events++
    bytes += item.bytes.length
    if (events > maxEvents || (events > 1 && bytes > maxBytes)) return start
  }
  return 0
}

function bytesOf(events: readonly BufferedEvent[]): number {
  return events.reduce((sum, { bytes }) => sum + bytes.length, 0)
}

function isEvent(item: BufferedEvent | LogGap): item is BufferedEvent {
  return 'bytes' in item
}
