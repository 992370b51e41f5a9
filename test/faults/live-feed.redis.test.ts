// The live feed on Redis: other processes append, and Redis loses what it had acknowledged.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  append,
  eventsOf,
  idsOf,
  isCaughtUp,
  named,
  openLiveOn,
  queryOf,
  shapeOf,
  streams,
  takeUntil,
} from '../../src/live-feed/live-feed.test-support.ts'
import { openLog, startServer } from '../conformance/redis-log.ts'
import { eventually } from '../support/eventually.ts'

test('each event that other processes append comes once and in order, with what was before', async (t) => {
  const server = await startServer(t)
  const [{ eventLog: one }, { eventLog: two }] = [await openLog(t, server.url), await openLog(t, server.url)]
  const parts = await openLiveOn(t, one)
  await openLiveOn(t, two)
  const perStream = 100
  const produce = async (stream: (typeof streams)[number]) => {
    const name = `${stream.partition}-${stream.lane}-`
    for (let next = 0; next < perStream; next += 5)
      await append({ eventLog: two }, eventsOf(named(name, 5, next)), stream)
  }
  const produced = Promise.all(streams.map(produce))
  const total = perStream * streams.length
  const subscriptions = [await parts.live.subscribe(queryOf({ from: 'earliest' }))]
  const first = await takeUntil(subscriptions[0]!, (_, ids) => ids > 0)
  const left = total - idsOf(first).length
  subscriptions.push(await parts.live.subscribe(queryOf({ from: first.at(-1)!.cursor })))
  const followed = await Promise.all(subscriptions.map((each) => takeUntil(each, (_, ids) => ids === left)))
  for (const rest of followed)
    for (const { partition, lane } of streams) {
      const name = `${partition}-${lane}-`
      const ids = idsOf([...first, ...rest]).filter((id) => id.startsWith(name))
      assert.deepEqual(ids, named(name, perStream))
    }
  await produced
})

test('after Redis has lost events, subscribers are told of a gap of unknown size, and new ones join', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openLog(t, server.url)
  const parts = await openLiveOn(t, eventLog)
  const follower = await parts.live.subscribe(queryOf())
  await append(parts, eventsOf(['a', 'b']))
  const before = await takeUntil(follower, (_, ids) => ids === 2)
  assert.deepEqual(shapeOf(before), ['caught_up', ['a', 'b']])
  await server.command('FLUSHALL')
  // The first call of the process notices.
  await eventually(() => eventLog.describe())
  const gap = (await follower.next())!
  assert.deepEqual(shapeOf([gap]), [['gap', null, 'lost']])
  // One that resumes from a cursor of the epoch that has ended, and one that begins now, while nothing is appended.
  const resumed = await parts.live.subscribe(queryOf({ from: before.at(-1)!.cursor }))
  assert.deepEqual(shapeOf(await takeUntil(resumed, isCaughtUp)), [['gap', null, 'lost'], 'caught_up'])
  const late = await parts.live.subscribe(queryOf())
  assert.deepEqual(shapeOf(await takeUntil(late, isCaughtUp)), ['caught_up'])
  await eventually(() => append(parts, eventsOf(['c'])))
  for (const each of [follower, resumed, late]) assert.deepEqual(idsOf([(await each.next())!]), ['c'])
})
