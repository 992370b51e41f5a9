// A live feed on the real embedded log, and verbs for its subscribers.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Lane, lanes } from '../event/event.ts'
import { decodeOneEvent, type EventParts, encodeBatch } from '../event/record-batch.ts'
import type { EventLog } from '../event-log/event-log.ts'
import { openEventLog } from '../event-log/open-event-log.ts'
import type { LiveFrame, LiveQuery } from '../pipeline/live.ts'
import { createLogger } from '../telemetry/logger.ts'
import { LiveFeed, type LiveFeedOptions } from './live-feed.ts'

export const topic = 'orders'
export const partitions = 2

const logger = createLogger({ level: 'fatal' })

export interface Parts {
  readonly live: LiveFeed
  readonly eventLog: EventLog
  /** What was counted for the metrics. */
  readonly counted: { sent: number; dropped: number }
}

/** On an embedded log of its own. */
export async function openLive(t: TestContext, options: Partial<LiveFeedOptions> = {}): Promise<Parts> {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-live-'))
  const eventLog = await openEventLog({ dataDir, diskReserveBytes: 0 }, { logger, now: Date.now })
  const parts = await openLiveOn(t, eventLog, options)
  t.after(async () => {
    await parts.live.close()
    await eventLog.close()
    rmSync(dataDir, { recursive: true })
  })
  return parts
}

/** Closes it with the test, and leaves the log to its owner. */
export async function openLiveOn(
  t: TestContext,
  eventLog: EventLog,
  options: Partial<LiveFeedOptions> = {},
): Promise<Parts> {
  await eventLog.declare(topic, { partitions, groups: [{ name: 'landing' }] })
  await eventLog.declare('other', { partitions: 1, groups: [{ name: 'landing' }] })
  const counted = { sent: 0, dropped: 0 }
  const live = new LiveFeed({
    tail: eventLog.tail,
    topics: [topic, 'other'],
    landingGroup: 'landing',
    subscriberMaxBytes: 32 * 1024 * 1024,
    logger,
    count: (_, sent, dropped) => {
      counted.sent += sent
      counted.dropped += dropped
    },
    now: Date.now,
    monotonicNow: () => performance.now(),
    ...options,
  })
  t.after(() => live.close())
  return { live, eventLog, counted }
}

export function queryOf(more: Partial<LiveQuery> = {}): LiveQuery {
  return {
    ...{ subscriberId: '', topic, types: [], sources: [], subjects: [], attributes: new Map(), from: 'now' },
    ...{ maxBufferedEvents: null, onSlow: 'drop_oldest' },
    ...more,
  }
}

/** Appends the events as one batch. */
export async function append(
  { eventLog }: Pick<Parts, 'eventLog'>,
  events: readonly EventParts[],
  { partition = 0, lane = 'normal' as Lane, receivedAtMicros = Date.now() * 1000 } = {},
): Promise<void> {
  const batch = { bytes: encodeBatch(events), count: events.length, receivedAtMicros }
  await eventLog.append({ topic, partition, lane }, [batch])
}

/** Events with these ids. */
export function eventsOf(ids: readonly string[], more: Partial<EventParts> = {}): EventParts[] {
  return ids.map((id) => ({ id, source: '/shop', type: 'order.placed', ...more }))
}

/** Ids that begin with a name: a0, a1 ... */
export function named(name: string, count: number, first = 0): string[] {
  return Array.from({ length: count }, (_, index) => `${name}${first + index}`)
}

export function idsOf(frames: readonly LiveFrame[]): string[] {
  return frames.flatMap((frame) => (frame.is === 'events' ? frame.events.map(({ bytes }) => idOf(bytes)) : []))
}

export function idOf(bytes: Uint8Array): string {
  return decodeOneEvent(bytes).id
}

/** The kinds of frames; the ids of those with events. */
export function shapeOf(frames: readonly LiveFrame[]): unknown[] {
  return frames.map((frame) => {
    if (frame.is === 'events') return idsOf([frame])
    return frame.is === 'gap' ? [frame.is, frame.dropped, frame.reason] : frame.is
  })
}

/** Takes frames up to the first that fits, that one included. */
export async function takeUntil(
  subscription: { next(): Promise<LiveFrame | null> },
  isLast: (frame: LiveFrame, ids: number) => boolean,
): Promise<LiveFrame[]> {
  const frames: LiveFrame[] = []
  let ids = 0
  for (;;) {
    const frame = await subscription.next()
    if (frame === null) return frames
    frames.push(frame)
    if (frame.is === 'events') ids += frame.events.length
    if (isLast(frame, ids)) return frames
  }
}

export const isCaughtUp = (frame: LiveFrame): boolean => frame.is === 'caught_up'

/** All streams of the topic. */
export const streams = Array.from({ length: partitions }, (_, partition) =>
  lanes.map((lane) => ({ partition, lane })),
).flat()
