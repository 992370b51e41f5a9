// Subscribers of the real embedded log.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../test/support/random.ts'
import type { LiveFrame } from '../pipeline/live.ts'
import {
  append,
  eventsOf,
  idsOf,
  isCaughtUp,
  named,
  openLive,
  queryOf,
  shapeOf,
  streams,
  takeUntil,
} from './live-feed.test-support.ts'

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
})
