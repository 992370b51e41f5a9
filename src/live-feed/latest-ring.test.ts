// Compares the ring with a model that is a plain list.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../test/support/random.ts'
import { eventAt, gapBefore } from './backlog.test-support.ts'
import type { LogGap } from './backlog.ts'
import { LatestRing } from './latest-ring.ts'
import { BufferedEvent } from './live-event.ts'

type Item = BufferedEvent | LogGap

const isEvent = (item: Item): item is BufferedEvent => item instanceof BufferedEvent

test('the ring keeps its bounds, drops the oldest that has a later one of its key, then the oldest, and counts exactly', (t) => {
  const random = seededRandom(t)
  for (let run = 0; run < 20; run++) {
    const maxEvents = random.between(1, 40)
    const maxBytes = random.between(100, 4000)
    const ring = new LatestRing({ maxEvents, maxBytes }, () => ({}))
    const model: Item[] = []
    let dropped: number | null = 0
    let last = null as Item | null
    const events = () => model.filter(isEvent)
    const bytes = () => events().reduce((sum, each) => sum + each.bytes.length, 0)
    /** Where the next event of the same key is. */
    const laterThan = (at: number) => {
      const each = model[at]!
      if (!isEvent(each) || each.key === '') return Number.POSITIVE_INFINITY
      const later = model.findIndex((other, index) => index > at && isEvent(other) && other.key === each.key)
      return later < 0 ? Number.POSITIVE_INFINITY : later
    }
    const drop = () => {
      // The one that was superseded first.
      const superseded = [...model.keys()].toSorted((a, b) => laterThan(a) - laterThan(b))[0]!
      const gone = model.splice(laterThan(superseded) < Number.POSITIVE_INFINITY ? superseded : 0, 1)[0]!
      dropped = isEvent(gone) && dropped !== null ? dropped + 1 : null
      const isEarlier = last !== null && isEvent(last) && isEvent(gone) && gone.offsetsBefore < last.offsetsBefore
      if (!isEarlier) last = gone
    }
    for (let step = 0; step < 600; step++) {
      const chance = random.next()
      if (chance < 0.85) {
        const event = eventAt(step, random.pick(['', 'a', 'b', 'c']), random.between(0, 200))
        while (model.length >= maxEvents || (events().length > 0 && bytes() + event.bytes.length > maxBytes)) drop()
        model.push(event)
        ring.push(event)
      } else if (chance < 0.87) {
        const gap = gapBefore(step)
        if (model.length >= maxEvents) drop()
        model.push(gap)
        ring.pushGap(gap)
      } else {
        const taken = ring.take(random.between(1, 500))
        if (last !== null) {
          const to = isEvent(last) ? last.cursor : last.to
          assert.ok(taken !== null && 'isBetween' in taken)
          assert.deepEqual([taken.dropped, taken.to], [dropped, to])
          dropped = 0
          last = null
        } else if (taken !== null && 'events' in taken) {
          assert.deepEqual(taken.events, model.splice(0, taken.events.length))
        } else assert.equal(taken, model.shift() ?? null)
      }
      assert.deepEqual([ring.events, ring.bytes, ring.droppedEvents], [events().length, bytes(), dropped])
      assert.equal(ring.isEmpty, model.length === 0 && last === null)
      assert.ok(ring.events <= maxEvents && (ring.bytes <= maxBytes || ring.events === 1))
    }
  }
})

test('what was dropped ends behind the last one of it, not behind the one that was dropped last', () => {
  const ring = new LatestRing({ maxEvents: 4, maxBytes: 1e9 }, () => ({}))
  const events = ['a', 'b', 'b', 'a', 'c', 'd'].map((key, number) => eventAt(number, key, 0))
  for (const event of events) ring.push(event)
  assert.deepEqual(ring.take(1e9), { dropped: 2, to: events[1]!.cursor, isBetween: true })
})

test('a key that is often updated costs no other key its latest event', () => {
  const ring = new LatestRing({ maxEvents: 1000, maxBytes: 1e9 }, () => ({}))
  for (let number = 0; number < 900; number++) ring.push(eventAt(number, `quiet-${number}`, 10))
  for (let number = 900; number < 5000; number++) ring.push(eventAt(number, 'hot', 10))
  const dropped = ring.take(1e9)
  const taken = ring.take(1e9)
  assert.ok(dropped !== null && 'isBetween' in dropped && taken !== null && 'events' in taken)
  assert.equal(new Set(taken.events.map(({ key }) => key)).size, 901)
  assert.equal(taken.events.length + (dropped.dropped ?? 0), 5000)
})
