// Uses the real embedded log. No group settles anything, so that what is full stays full.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { MillraceError } from '../errors.ts'
import type { Lane } from '../event/event.ts'
import { type EventParts, encodeBatch } from '../event/record-batch.ts'
import { openEventLog } from '../event-log/open-event-log.ts'
import type { PublishMessage, PublishVerdict } from '../pipeline/pipeline.ts'
import { rejectedEvents } from '../pipeline/rejections.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Ingest } from './ingest.ts'

/** Low priority may fill 8 of the 10 events. The monotonic clock stands still unless the test moves it. */
async function openIngest(t: TestContext, clock = { nowMs: 0 }): Promise<Ingest> {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-ingest-'))
  const logger = { info() {}, warn() {} }
  const eventLog = await openEventLog({ dataDir, diskReserveBytes: 0 }, { logger, now: Date.now })
  const metrics = createMetrics()
  t.after(async () => {
    metrics.close()
    await eventLog.close()
    rmSync(dataDir, { recursive: true })
  })
  const topic = { name: 'events', partitions: 1, partitionBy: 'key' as const }
  await eventLog.declare(topic.name, { partitions: topic.partitions, groups: [{ name: 'landing' }] })
  return new Ingest({
    eventLog,
    durability: 'disk',
    topics: [topic],
    maxWaiting: { maxEvents: 10, maxBytes: 1e9 },
    metrics,
    now: Date.now,
    monotonicNow: () => clock.nowMs,
  })
}

function messageOf(lanes: readonly Lane[], more: Partial<PublishMessage> = {}): PublishMessage {
  const events: EventParts[] = lanes.map((lane) => ({ type: 'a', lane }))
  return { topic: 'events', overflow: 'wait', message: encodeBatch(events), ...more }
}

/** Fills the lane `low` and publishes a message of which only the event in the lane `high` finds room. */
async function publishIntoFullLane(
  ingest: Ingest,
  more: Partial<PublishMessage> = {},
): Promise<{ readonly published: Promise<PublishVerdict> }> {
  await ingest.publish(messageOf(Array.from({ length: 8 }, () => 'low')))
  const waits = Promise.withResolvers<void>()
  const published = ingest.publish(messageOf(['low', 'high', 'low'], more), { onWait: waits.resolve })
  published.catch(() => {})
  await waits.promise
  return { published }
}

test('while a stream is full its events are refused unread, in runs, and those of other streams are checked', async (t) => {
  const clock = { nowMs: 0 }
  const ingest = await openIngest(t, clock)
  await ingest.publish(messageOf(Array.from({ length: 8 }, () => 'low')))
  const [reject, drop] = [{ overflow: 'reject' }, { overflow: 'drop' }] as const
  assert.equal((await ingest.publish(messageOf(['low'], reject))).rejections[0]?.code, 'backlogged')

  const events: EventParts[] = [
    { type: '', lane: 'low' },
    { type: 'a', lane: 'low' },
    { type: '', lane: 'high' },
    { type: 'a', lane: 'high' },
    { type: 'a', id: 'lone', lane: 'low' },
  ]
  const message = encodeBatch(events)
  const rejected = await ingest.publish({ topic: 'events', ...reject, message })
  const dropped = await ingest.publish({ topic: 'events', ...drop, message })

  assert.equal(rejected.accepted, 1)
  assert.deepEqual(
    rejected.rejections.map(({ index, count, id, code, retryAfterMs }) => [index, count, id, code, retryAfterMs]),
    [
      [0, 2, '', 'backlogged', 1000],
      [2, undefined, '', 'invalid_event', undefined],
      [4, undefined, 'lone', 'backlogged', 1000],
    ],
  )
  assert.deepEqual([dropped.accepted, dropped.dropped, rejectedEvents(dropped.rejections)], [1, 3, 1])

  const codeOf = async (events: EventParts[]) => {
    const { rejections } = await ingest.publish({ topic: 'events', ...reject, message: encodeBatch(events) })
    return rejections[0]?.code
  }
  const [invalid, valid] = [{ type: '', lane: 'low' } as const, { type: 'a', lane: 'low' } as const]
  assert.equal(await codeOf([invalid]), 'backlogged')
  clock.nowMs = 20
  assert.equal(await codeOf([invalid]), 'invalid_event', 'after 20 ms the log is asked again')
  assert.equal(await codeOf([valid]), 'backlogged')
  assert.equal(await codeOf([invalid]), 'backlogged', 'its refusal closes the stream again')
})

test('a resend of a stored message is answered as accepted while its stream is full', async (t) => {
  const ingest = await openIngest(t)
  const numbered = { overflow: 'reject', producer: { id: 'p', epoch: 1, sequence: 1 } } as const
  const stored = messageOf(
    Array.from({ length: 8 }, () => 'low'),
    numbered,
  )
  await ingest.publish(stored)
  assert.equal((await ingest.publish(messageOf(['low'], { overflow: 'reject' }))).accepted, 0)

  assert.equal((await ingest.publish(stored)).accepted, 8)
})

test('every caller of drain() waits for the running calls, and a later one for nothing', async (t) => {
  const ingest = await openIngest(t)
  const published = ingest.publish(messageOf(['high']))

  await Promise.all([ingest.drain(), ingest.drain()])

  assert.equal((await published).accepted, 1)
  await ingest.drain()
})

test('a message that the log refuses after the drain has begun does not wait for room', async (t) => {
  const ingest = await openIngest(t)
  await ingest.publish(messageOf(Array.from({ length: 8 }, () => 'low')))
  const published = ingest.publish(messageOf(['low']))

  const drained = ingest.drain()

  await assert.rejects(published, { code: 'draining' })
  await drained
})

test('a drain rejects the events that wait for room, and the message has a verdict on each of its events', async (t) => {
  const ingest = await openIngest(t)
  const { published } = await publishIntoFullLane(ingest)

  await ingest.drain()

  const { accepted, dropped, rejections } = await published
  assert.deepEqual([accepted, dropped], [1, 0])
  assert.deepEqual(
    rejections.map(({ index, code }) => [index, code]),
    [
      [0, 'draining'],
      [2, 'draining'],
    ],
  )
})

test('a numbered message that is accepted in part has an unknown outcome: its producer resends it', async (t) => {
  const ingest = await openIngest(t)
  const { published } = await publishIntoFullLane(ingest, { producer: { id: 'p', epoch: 1, sequence: 1 } })

  await ingest.drain()

  await assert.rejects(published, ({ outcomeUnknown }: MillraceError) => outcomeUnknown)
})
