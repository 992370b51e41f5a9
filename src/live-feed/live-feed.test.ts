// Subscribers of the real embedded log.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../test/support/random.ts'
import type { LogTail, TailPage, TopicCursor } from '../event-log/tail.ts'
import type { LiveFrame } from '../pipeline/live.ts'
import {
  append,
  eventsOf,
  idsOf,
  isCaughtUp,
  named,
  openLive,
  openLiveOn,
  queryOf,
  shapeOf,
  streams,
  takeUntil,
} from './live-feed.test-support.ts'
import { PageWalk } from './page-walk.ts'
import { encodeCursor } from './topic-cursor.ts'

test('what the log has comes first, then caught_up, then what is accepted, from now, earliest, a time or a cursor', async (t) => {
  const parts = await openLive(t)
  await append(parts, eventsOf(['old']), { receivedAtMicros: Date.UTC(2026, 0, 1) * 1000 })
  await append(parts, eventsOf(['a', 'b']), { receivedAtMicros: Date.UTC(2026, 0, 2) * 1000 })
  const first = await parts.live.subscribe(queryOf({ from: 'earliest' }))
  const kept = await takeUntil(first, isCaughtUp)
  assert.deepEqual(shapeOf(kept), [['old', 'a', 'b'], 'caught_up'])
  const [events] = kept
  assert.ok(events?.is === 'events')
  const others = [
    await parts.live.subscribe(queryOf({ from: '2026-01-02T00:00:00Z' })),
    await parts.live.subscribe(queryOf({ from: events.events[1]!.cursor })),
    await parts.live.subscribe(queryOf({ from: first.startCursor })),
    await parts.live.subscribe(queryOf({ from: '' })),
  ]
  const before: unknown[] = []
  for (const other of others) before.push(idsOf(await takeUntil(other, isCaughtUp)))
  assert.deepEqual(before, [['a', 'b'], ['b'], ['old', 'a', 'b'], []])

  await append(parts, eventsOf(['c']), { partition: 1, lane: 'high' })
  for (const each of [first, ...others]) assert.deepEqual(shapeOf([(await each.next())!]), [['c']])
})

test('no event is missed or repeated where the kept ones join the live ones, at any pace', async (t) => {
  const random = seededRandom(t)
  const parts = await openLive(t)
  const perStream = 600
  const produce = async (stream: (typeof streams)[number]) => {
    const name = `${stream.partition}-${stream.lane}-`
    for (let next = 0; next < perStream; ) {
      const count = Math.min(perStream - next, random.between(1, 20))
      await append(parts, eventsOf(named(name, count, next), { data: random.bytes(random.between(0, 900)) }), stream)
      next += count
    }
  }
  const total = perStream * streams.length
  const follow = async (paceMs: number) => {
    let subscription = await parts.live.subscribe(queryOf({ from: 'earliest' }))
    const frames: LiveFrame[] = []
    let events = 0
    while (events < total) {
      const frame = (await subscription.next())!
      frames.push(frame)
      if (frame.is === 'events') events += frame.events.length
      if (random.next() < 0.1) {
        subscription.close()
        subscription = await parts.live.subscribe(queryOf({ from: frame.cursor }))
      }
      if (random.next() < 0.5) await new Promise((resolve) => setTimeout(resolve, random.between(0, paceMs)))
    }
    subscription.close()
    return frames
  }
  const producing = Promise.all(streams.map(produce))
  const followed = await Promise.all([0, 1, 5, 20].map(follow))
  await producing
  for (const frames of followed) {
    assert.ok(frames.every(({ is }) => is === 'events' || is === 'caught_up'))
    for (const { partition, lane } of streams) {
      const name = `${partition}-${lane}-`
      assert.deepEqual(
        idsOf(frames).filter((id) => id.startsWith(name)),
        named(name, perStream),
      )
    }
  }
  // What is kept does not go through the buffer.
  const late = await parts.live.subscribe(queryOf({ from: 'earliest', maxBufferedEvents: 1 }))
  const kept = await takeUntil(late, isCaughtUp)
  assert.deepEqual([idsOf(kept).length, kept.some(({ is }) => is === 'gap')], [total, false])
})

test('a slow subscriber loses its oldest events and is told exactly how many, while a fast one gets all', async (t) => {
  const parts = await openLive(t)
  const types = ['order.paid']
  const slow = await parts.live.subscribe(queryOf({ subscriberId: 'slow', types, maxBufferedEvents: 10 }))
  const fast = await parts.live.subscribe(queryOf({ types }))
  assert.deepEqual(shapeOf(await takeUntil(slow, isCaughtUp)), ['caught_up'])
  let slowGot = 0
  let slowDropped = 0
  for (let round = 0; round < 20; round++) {
    const paid = eventsOf(named('paid', 30, round * 30), { type: 'order.paid' })
    const placed = eventsOf(named('placed', 30, round * 30))
    await append(
      parts,
      paid.flatMap((event, index) => [event, placed[index]!]),
    )
    await takeUntil(fast, (_, ids) => ids === 30)
    const all = await parts.live.subscribers()
    const { bufferedEvents, droppedEvents, lagEvents } = all.find((each) => each.subscriberId === 'slow')!
    assert.deepEqual([bufferedEvents, droppedEvents], [10, slowDropped + 20])
    assert.equal(lagEvents, 20)
    parts.live.countDropped()
    assert.equal(parts.counted.dropped, slowDropped + 20)
    const [gap, events] = await takeUntil(slow, (_, ids) => ids > 0)
    assert.ok(gap?.is === 'gap' && events?.is === 'events')
    assert.deepEqual([gap.dropped, gap.reason], [20, 'slow'])
    slowDropped += gap.dropped ?? 0
    slowGot += events.events.length
    if (round === 0) {
      // What the log still has can be read again, from where the gap begins.
      const again = await parts.live.subscribe(queryOf({ types, from: gap.from }))
      assert.deepEqual(idsOf(await takeUntil(again, isCaughtUp)), named('paid', 30))
      again.close()
      const behind = await parts.live.subscribe(queryOf({ types, from: gap.to }))
      assert.deepEqual(idsOf(await takeUntil(behind, isCaughtUp)), idsOf([events]))
      behind.close()
    }
  }
  assert.deepEqual([slowGot, slowDropped], [200, 400])
  assert.deepEqual(parts.counted.dropped, 400)
})

test('a subscriber that asked for it ends when its buffer is full; one that wants the latest of each key keeps these', async (t) => {
  const parts = await openLive(t)
  const query = { maxBufferedEvents: 4 }
  const ends = await parts.live.subscribe(queryOf({ ...query, onSlow: 'disconnect' }))
  const latest = await parts.live.subscribe(queryOf({ ...query, onSlow: 'latest_per_key' }))
  const fast = await parts.live.subscribe(queryOf())
  for (const each of [ends, latest, fast]) await takeUntil(each, isCaughtUp)
  const keys = ['a', 'b', 'a', 'a', 'c', 'a']
  await append(
    parts,
    keys.map((key, index) => ({ id: `${key}${index}`, type: 'a', key })),
  )
  await takeUntil(fast, (_, ids) => ids === keys.length)
  await assert.rejects(ends.next(), { code: 'backlogged' })
  assert.deepEqual(shapeOf(await takeUntil(latest, (_, ids) => ids > 0)), [
    ['gap', 2, 'slow'],
    ['b1', 'a3', 'c4', 'a5'],
  ])
  assert.equal(parts.live.size, 2)
})

test('subscribers of one filter get frames with one key, so that a frame is encoded once', async (t) => {
  const parts = await openLive(t)
  const sharing = [
    await parts.live.subscribe(queryOf({ types: ['a', 'b'] })),
    await parts.live.subscribe(queryOf({ types: ['b', 'a'] })),
  ]
  const other = await parts.live.subscribe(queryOf({ types: ['a'] }))
  for (const each of [...sharing, other]) await takeUntil(each, isCaughtUp)
  await append(parts, eventsOf(named('a', 3), { type: 'a' }))
  const frames = await Promise.all([...sharing, other].map((each) => each.next()))
  const keys = frames.map((frame) => (frame?.is === 'events' ? frame.sharedBy : null))
  assert.ok(keys[0] !== null && keys[0] === keys[1])
  assert.notEqual(keys[2], keys[0])
})

test('an event that nobody wants is not copied, and the cursor moves on all the same', async (t) => {
  const made = t.mock.method(PageWalk.prototype, 'event')
  let nowMs = 0
  const parts = await openLive(t, { progressMs: 20, monotonicNow: () => nowMs })
  const subscription = await parts.live.subscribe(queryOf({ types: ['wanted'] }))
  await takeUntil(subscription, isCaughtUp)
  await append(parts, eventsOf(named('a', 100)))
  nowMs = 1000
  const progress = (await subscription.next())!
  assert.equal(progress.is, 'progress')
  await append(parts, eventsOf(['w'], { type: 'wanted' }))
  assert.deepEqual(idsOf([(await subscription.next())!]), ['w'])
  assert.equal(made.mock.callCount(), 1)
  // Nothing is read again that it has passed.
  const resumed = await parts.live.subscribe(queryOf({ from: progress.cursor }))
  assert.deepEqual(idsOf(await takeUntil(resumed, isCaughtUp)), ['w'])
})

test('a subscriber that is slow to take a gap is not told of a later place before it', async (t) => {
  let nowMs = 0
  const { eventLog } = await openLive(t)
  const gaps = [{ events: 7 }]
  const tail: LogTail = {
    cursorAt: (...call) => eventLog.tail.cursorAt(...call),
    read: async (...call) => ({ ...(await eventLog.tail.read(...call)), gap: gaps.shift() ?? null }),
  }
  const parts = await openLiveOn(t, eventLog, { tail, monotonicNow: () => nowMs })
  const [slow, other] = [await parts.live.subscribe(queryOf()), await parts.live.subscribe(queryOf())]
  for (const each of [slow, other]) await takeUntil(each, isCaughtUp)
  await append(parts, eventsOf(['a']))
  await takeUntil(other, (_, ids) => ids === 1)
  nowMs = 60_000
  slow.reportProgress()
  assert.deepEqual(shapeOf(await takeUntil(slow, (_, ids) => ids === 1)), [['gap', 7, 'trimmed'], ['a']])
})

test('what one partition lacks hides nothing of another that cannot be read, while a subscriber joins', async (t) => {
  const { eventLog } = await openLive(t)
  const pages: ((topic: string, from: TopicCursor) => Promise<TailPage>)[] = []
  const tail: LogTail = {
    cursorAt: (...call) => eventLog.tail.cursorAt(...call),
    read: (...call) => (call[2].maxWaitMs === 0 && pages.shift()?.(call[0], call[1])) || eventLog.tail.read(...call),
  }
  const parts = await openLiveOn(t, eventLog, { tail })
  const other = await parts.live.subscribe(queryOf())
  for (const partition of [0, 1]) await append(parts, eventsOf([`${partition}`]), { partition })
  await takeUntil(other, (_, ids) => ids === 2)
  pages.push(
    // The place is known, and nothing is read yet.
    async (_, cursor) => ({ entries: [], cursor, gap: null }),
    async (_, { epoch }) => ({ entries: [], cursor: { epoch, offsets: [0, 1] }, gap: { events: 1 } }),
  )
  const joining = await parts.live.subscribe(queryOf({ from: other.startCursor }))
  assert.deepEqual(shapeOf(await takeUntil(joining, isCaughtUp)), [['gap', 1, 'trimmed'], ['1'], 'caught_up'])
})

test('a second subscription with an id ends the first, and is not ended with it', async (t) => {
  const parts = await openLive(t)
  const first = await parts.live.subscribe(queryOf({ subscriberId: 'console' }))
  await takeUntil(first, isCaughtUp)
  const waiting = assert.rejects(first.next(), { code: 'cancelled' })
  const second = await parts.live.subscribe(queryOf({ subscriberId: 'console' }))
  await waiting
  first.close()
  assert.deepEqual(
    (await parts.live.subscribers()).map(({ subscriberId }) => subscriberId),
    ['console'],
  )
  await append(parts, eventsOf(['a']))
  assert.deepEqual(idsOf(await takeUntil(second, (_, ids) => ids === 1)), ['a'])
})

test('an earlier call for an id that the log answers later does not end the later one', async (t) => {
  const { eventLog } = await openLive(t)
  const answered = Promise.withResolvers<void>()
  const tail: LogTail = {
    cursorAt: async (name, place) => {
      if (typeof place === 'object') await answered.promise
      return await eventLog.tail.cursorAt(name, place)
    },
    read: (...call) => eventLog.tail.read(...call),
  }
  const { live } = await openLiveOn(t, eventLog, { tail })
  const earlier = live.subscribe(queryOf({ subscriberId: 'console', from: '2020-01-01T00:00:00Z' }))
  const later = await live.subscribe(queryOf({ subscriberId: 'console' }))
  answered.resolve()
  await assert.rejects(earlier, { code: 'cancelled' })
  await append({ eventLog }, eventsOf(['a']))
  assert.deepEqual(idsOf(await takeUntil(later, (_, ids) => ids === 1)), ['a'])
})

test('a drain gives each what waits for it, then reconnect; a close ends a wait', async (t) => {
  const parts = await openLive(t)
  const [reading, behind, closed] = [
    await parts.live.subscribe(queryOf()),
    await parts.live.subscribe(queryOf({ from: 'earliest' })),
    await parts.live.subscribe(queryOf()),
  ]
  const other = await parts.live.subscribe(queryOf())
  for (const each of [reading, closed, other]) await takeUntil(each, isCaughtUp)
  const ended = closed.next()
  closed.close()
  assert.equal(await ended, null)
  await append(parts, eventsOf(['a', 'b']))
  await takeUntil(other, (_, ids) => ids === 2)
  const drained = parts.live.drain(10_000)
  await assert.rejects(parts.live.subscribe(queryOf()), { code: 'draining' })
  const frames = await takeUntil(reading, () => false)
  assert.deepEqual(shapeOf(frames), [['a', 'b'], 'reconnect'])
  const last = frames.at(-1)
  assert.ok(last?.is === 'reconnect' && last.afterMs >= 200 && last.afterMs <= 2000)
  for (const each of [behind, other]) assert.equal((await takeUntil(each, () => false)).at(-1)?.is, 'reconnect')
  await drained
  assert.equal(parts.live.size, 0)
})

test('a subscriber that takes nothing does not delay the stop', async (t) => {
  const parts = await openLive(t)
  const stuck = await parts.live.subscribe(queryOf())
  await parts.live.drain(20)
  assert.equal(parts.live.size, 0)
  assert.equal(await stuck.next(), null)
})

test('a subscriber that begins before what retention has kept is told what is missing', async (t) => {
  const parts = await openLive(t)
  const early = await parts.live.subscribe(queryOf())
  const isLanded = async () => {
    const consumer = await parts.eventLog.consume('orders', 'landing', { leaseMs: 30_000 })
    const maxEvents = { high: 1000, normal: 1000, low: 1000 }
    const outcomes = (await consumer.next({ maxEvents, maxWaitMs: 0 })).map((delivery) => {
      return { delivery, landed: delivery.batch.count, dead: 0 }
    })
    await consumer.settle(outcomes)
    await consumer.close()
  }
  await append(parts, eventsOf(named('a', 7)))
  await isLanded()
  await parts.eventLog.trim('orders', { keepSinceMs: Date.now() + 1000, maxBytes: 0 })
  await append(parts, eventsOf(['b']))
  const all = await parts.live.subscribe(queryOf({ from: early.startCursor }))
  const some = await parts.live.subscribe(queryOf({ from: early.startCursor, types: ['order.*'] }))
  assert.deepEqual(shapeOf(await takeUntil(all, isCaughtUp)), [['gap', 7, 'trimmed'], ['b'], 'caught_up'])
  assert.deepEqual(shapeOf(await takeUntil(some, isCaughtUp)), [['gap', null, 'trimmed'], ['b'], 'caught_up'])
  const since = await parts.live.subscribe(queryOf({ from: '2020-01-01T00:00:00Z' }))
  assert.deepEqual(shapeOf(await takeUntil(since, isCaughtUp)), [['gap', null, 'trimmed'], ['b'], 'caught_up'])
})

test('a cursor beyond the end of the log is answered with a gap of unknown size, then live events', async (t) => {
  const parts = await openLive(t)
  await append(parts, eventsOf(['a']))
  const { cursor } = (await parts.eventLog.tail.cursorAt('orders', 'now'))!
  const beyond = encodeCursor('orders', { ...cursor, offsets: cursor.offsets.map((offset) => offset + 10) })
  const subscription = await parts.live.subscribe(queryOf({ from: beyond }))
  assert.deepEqual(shapeOf(await takeUntil(subscription, isCaughtUp)), [['gap', null, 'lost'], 'caught_up'])
  await append(parts, eventsOf(['b']))
  assert.deepEqual(idsOf([(await subscription.next())!]), ['b'])
})

test('the landed cursor is before everything that is not in the database', async (t) => {
  const parts = await openLive(t)
  await append(parts, eventsOf(['a', 'b']))
  const cursor = await parts.live.landedCursor('orders')
  const subscription = await parts.live.subscribe(queryOf({ from: cursor ?? '' }))
  assert.deepEqual(idsOf(await takeUntil(subscription, isCaughtUp)), ['a', 'b'])
  await assert.rejects(parts.live.landedCursor('_dead'), { code: 'not_found' })
})

test('each wrong field of a query is named', async (t) => {
  const parts = await openLive(t, { now: () => Date.UTC(2026, 0, 1) })
  const other = await parts.live.subscribe(queryOf({ topic: 'other' }))
  const long = 'x'.repeat(1025)
  const wrong: readonly [Parameters<typeof queryOf>[0], string, RegExp][] = [
    [{ subscriberId: 'a b' }, 'subscriber_id', /1 to 64 characters/],
    [{ types: ['a*'] }, 'types', /stands for a whole segment/],
    [{ sources: [long] }, 'sources', /1025 bytes/],
    [{ subjects: Array.from({ length: 101 }, String) }, 'subjects', /more than 100/],
    [{ attributes: new Map([['', 'a']]) }, 'attributes', /empty name/],
    [{ maxBufferedEvents: 0 }, 'max_buffered_events', /1 to 1000000/],
    [{ maxBufferedEvents: 10_000_000 }, 'max_buffered_events', /1 to 1000000/],
    [{ from: 'yesterday' }, 'from', /neither now, earliest/],
    [{ from: '2026-01-01T00:00:01Z' }, 'from', /a time to come/],
    [{ from: '2026-01-01T25:00:00Z' }, 'from', /hour 25/],
    [{ from: other.startCursor }, 'from', /another topic/],
    [{ from: `${other.startCursor}!` }, 'from', /neither now, earliest/],
  ]
  for (const [query, field, message] of wrong)
    await assert.rejects(parts.live.subscribe(queryOf(query)), { code: 'invalid_event', field, message })
  for (const topic of ['_dead', 'nowhere', ''])
    await assert.rejects(parts.live.subscribe(queryOf({ topic })), { code: 'not_found', field: 'topic' })
  other.close()
  assert.equal(parts.live.size, 0)
})
