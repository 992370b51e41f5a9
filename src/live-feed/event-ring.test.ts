// Compares the ring with a model that is a plain list.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../test/support/random.ts'
import { EventReader, encodeBatch } from '../event/record-batch.ts'
import { EventRing, type LogGap } from './event-ring.ts'
import { BufferedEvent, type EntryPlace } from './live-event.ts'

const place: EntryPlace = { topic: 'orders', epoch: 1, offsets: [0], stream: 0, offsetsBefore: 0 }

function eventOf(number: number, key: string, bytes: number): BufferedEvent {
  const reader = new EventReader().reset(encodeBatch([{ type: 'a', key, data: Buffer.alloc(bytes) }]))
  reader.next()
  return new BufferedEvent(reader.bytes, reader.fields, 1_700_000_000_000_000, place, number)
}

const isBefore = (one: BufferedEvent, other: BufferedEvent) => one.offsetsBefore < other.offsetsBefore

for (const keepsLatest of [false, true]) {
  test(`the ring keeps its bounds, drops the oldest${keepsLatest ? ' that has a later one of its key' : ''} and counts exactly`, (t) => {
    const random = seededRandom(t)
    for (let run = 0; run < 10; run++) {
      const maxEvents = random.between(1, 40)
      const maxBytes = random.between(100, 4000)
      const ring = new EventRing({ maxEvents, maxBytes, keepsLatest })
      const model: (BufferedEvent | LogGap)[] = []
      let dropped: number | null = 0
      let last = null as BufferedEvent | LogGap | null
      const events = () => model.filter((each) => each instanceof BufferedEvent)
      const bytes = () => events().reduce((sum, each) => sum + each.bytes.length, 0)
      /** Where the next event of the same key is. */
      const laterThan = (at: number) => {
        const each = model[at]!
        if (!(each instanceof BufferedEvent) || each.key === '') return Number.POSITIVE_INFINITY
        const later = model.findIndex(
          (other, index) => index > at && other instanceof BufferedEvent && other.key === each.key,
        )
        return later < 0 ? Number.POSITIVE_INFINITY : later
      }
      const drop = () => {
        // The one that was superseded first.
        const superseded = [...model.keys()].toSorted((a, b) => laterThan(a) - laterThan(b))[0]!
        const isAny = keepsLatest && laterThan(superseded) < Number.POSITIVE_INFINITY
        return model.splice(isAny ? superseded : 0, 1)[0]!
      }
      for (let step = 0; step < 300; step++) {
        const chance = random.next()
        if (chance < 0.75) {
          const event = eventOf(step, random.pick(['', 'a', 'b', 'c']), random.between(0, 200))
          while (events().length > 0 && (events().length >= maxEvents || bytes() + event.bytes.length > maxBytes)) {
            const gone = drop()
            dropped = gone instanceof BufferedEvent ? (dropped === null ? null : dropped + 1) : null
            last = last instanceof BufferedEvent && gone instanceof BufferedEvent && isBefore(gone, last) ? last : gone
          }
          model.push(event)
          ring.push(event)
        } else if (chance < 0.77) {
          const gap = { dropped: null, reason: 'lost' as const, from: 'x', to: `y${step}` }
          model.push(gap)
          ring.pushGap(gap)
        } else if (chance < 0.9) {
          const taken = ring.take(random.between(1, 500))
          if (Array.isArray(taken)) assert.deepEqual(taken, model.splice(0, taken.length))
          else assert.equal(taken, model.shift() ?? null)
        } else {
          const told = ring.takeDropped()
          const to = last instanceof BufferedEvent ? last.cursor : last?.to
          assert.deepEqual([told?.events ?? 0, told?.to], last === null ? [0, undefined] : [dropped ?? 0, to])
          dropped = 0
          last = null
        }
        assert.deepEqual([ring.events, ring.bytes], [events().length, bytes()])
        assert.ok(ring.events <= maxEvents && (ring.bytes <= maxBytes || ring.events === 1))
      }
    }
  })
}

test('what was dropped ends behind the last one of it, not behind the one that was dropped last', () => {
  const ring = new EventRing({ maxEvents: 4, maxBytes: 1e9, keepsLatest: true })
  const events = ['a', 'b', 'b', 'a', 'c', 'd'].map((key, number) => eventOf(number, key, 0))
  for (const event of events) ring.push(event)
  assert.deepEqual(ring.takeDropped(), { events: 2, to: events[1]!.cursor, isBetween: true })
})

test('a key that is often updated costs no other key its latest event', () => {
  const ring = new EventRing({ maxEvents: 1000, maxBytes: 1e9, keepsLatest: true })
  for (let number = 0; number < 900; number++) ring.push(eventOf(number, `quiet-${number}`, 10))
  for (let number = 900; number < 5000; number++) ring.push(eventOf(number, 'hot', 10))
  const taken = ring.take(1e9)
  assert.ok(Array.isArray(taken))
  assert.equal(new Set(taken.map(({ key }) => key)).size, 901)
  assert.equal(taken.length + (ring.takeDropped()?.events ?? 0), 5000)
})

test('rings that fill together take no event much longer than another', () => {
  // The best of some rounds: a round may meet the garbage collector.
  const ratios = [1, 2, 3].map(() => {
    const rings = Array.from(
      { length: 100 },
      () => new EventRing({ maxEvents: 5000, maxBytes: 1e9, keepsLatest: false }),
    )
    const event = eventOf(0, '', 10)
    const pushed = (events: number) => {
      const began = performance.now()
      for (let n = 0; n < events; n++) for (const ring of rings) ring.push(event)
      return performance.now() - began
    }
    pushed(3996)
    const before = pushed(100)
    return pushed(1) / before
  })
  assert.ok(Math.min(...ratios) < 0.5, `an event takes as long as ${ratios.map((ratio) => ratio * 100)} before it`)
})
