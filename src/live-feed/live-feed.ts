// The live feed of a process: its subscribers, and one reader for each topic that has any.

import { randomUUID } from 'node:crypto'
import { MillraceError } from '../errors.ts'
import type { CursorFound, CursorPlace, LogTail } from '../event-log/tail.ts'
import { withinMs } from '../lib/abort.ts'
import { Slots } from '../lib/slots.ts'
import { defaultBufferedEvents, type Live, type LiveQuery, type SubscriberStatus } from '../pipeline/live.ts'
import type { Logger } from '../telemetry/logger.ts'
import { checkQuery, type Start, startOf } from './check-query.ts'
import { LiveFilter } from './live-filter.ts'
import { Subscriber } from './subscriber.ts'
import { decodeCursor, encodeCursor } from './topic-cursor.ts'
import { TopicFeed } from './topic-feed.ts'

export const maxSubscribers = 20_000
/** So that a thousand that resume leave the log to others. */
const maxOwnReadsAtOnce = 4
/** A page of the log for each subscriber that reads what was before, and about so much for all. */
const [minPageBytes, maxPageBytes, maxBytesOfPages] = [64 * 1024, 256 * 1024, 64 * 1024 * 1024]
const defaultProgressMs = 10_000
/** A subscriber that takes nothing must not delay the stop of the server. */
const maxDrainMs = 3000

export interface LiveFeedOptions {
  readonly tail: LogTail
  /** Those that can be subscribed to. */
  readonly topics: readonly string[]
  /** The group that lands the events of each topic. */
  readonly landingGroup: string
  /** Max bytes of the events that wait for a subscriber. */
  readonly subscriberMaxBytes: number
  readonly logger: Logger
  /** Counts events that were sent, or dropped, or both. */
  readonly count: (topic: string, sent: number, dropped: number) => void
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
  /** 0 <= random < 1. Default: Math.random. */
  readonly random?: () => number
  /** After how long without a frame a subscriber is told that its cursor has moved. Default 10,000. */
  readonly progressMs?: number
}

interface OpenFeed {
  readonly feed: TopicFeed
  readonly started: Promise<void>
  users: number
}

/** What a call of `subscribe` has found out. */
interface Entry {
  readonly call: number
  readonly filter: LiveFilter
  readonly open: OpenFeed
  readonly found: CursorFound
  /** Whether the start is from the log, not from a user. */
  readonly isStartKnown: boolean
}

export class LiveFeed implements Live {
  readonly #options: LiveFeedOptions
  readonly #random: () => number
  /** By caller and id. */
  readonly #subscribers = new Map<string, Subscriber>()
  readonly #feeds = new Map<string, OpenFeed>()
  readonly #stopping = new Set<Promise<void>>()
  readonly #reads = new Slots(maxOwnReadsAtOnce)
  readonly #progressMs: number
  readonly #progressTimer: NodeJS.Timeout
  /** The number of the last call of `subscribe`. */
  #lastCall = 0
  #isDraining = false
  #lastLeft: (() => void) | null = null

  constructor(options: LiveFeedOptions) {
    const { random = Math.random, progressMs = defaultProgressMs } = options
    this.#options = options
    this.#random = random
    this.#progressMs = progressMs
    this.#progressTimer = setInterval(() => this.#reportProgress(), Math.ceil(progressMs / 4))
    this.#progressTimer.unref()
  }

  async subscribe(query: LiveQuery): Promise<Subscriber> {
    const { now } = this.#options
    checkQuery(query)
    const filter = new LiveFilter(query)
    this.#checkTopic(query.topic)
    const start = startOf(query.from, now())
    const given = start.is === 'cursor' ? decodeCursor(query.topic, start.token) : null
    this.#checkRoom(query)
    const call = ++this.#lastCall
    const open = this.#openFeed(query.topic)
    try {
      await open.started
      const found = given === null ? await this.#find(query.topic, start) : { cursor: given, isCut: false }
      this.#checkRoom(query)
      return this.#add(query, { call, filter, open, found, isStartKnown: given === null })
    } catch (thrown) {
      this.#leaveFeed(query.topic, open)
      throw thrown
    }
  }

  async landedCursor(topic: string): Promise<string | null> {
    const { tail, landingGroup } = this.#options
    this.#checkTopic(topic)
    try {
      return encodeCursor(topic, (await tail.cursorAt(topic, { settledBy: landingGroup })).cursor)
    } catch (thrown) {
      if (thrown instanceof MillraceError && thrown.retryable) return null
      throw thrown
    }
  }

  async subscribers(): Promise<readonly SubscriberStatus[]> {
    const statuses = [...this.#subscribers.values()].map((subscriber) => subscriber.status())
    return statuses.sort((a, b) => (a.subscriberId < b.subscriberId ? -1 : 1))
  }

  /** Counts what has been dropped since it was last called; what was told is counted already. */
  countDropped(): void {
    for (const subscriber of this.#subscribers.values()) subscriber.countDropped()
  }

  /** How many there are of each topic. */
  subscribersOf(topic: string): number {
    let count = 0
    for (const subscriber of this.#subscribers.values()) if (subscriber.topic === topic) count++
    return count
  }

  /** How many there are. */
  get size(): number {
    return this.#subscribers.size
  }

  /** The greatest lag of a subscriber, in events; those whose lag is not known do not count. */
  greatestLag(): number {
    let greatest = 0
    for (const subscriber of this.#subscribers.values()) greatest = Math.max(greatest, subscriber.lagEvents() ?? 0)
    return greatest
  }

  /**
   * Takes no more subscribers; each gets what waits for it, then `reconnect`. Resolves when all have ended; those that have
   * not after `maxMs` milliseconds are ended as they are.
   */
  async drain(maxMs: number): Promise<void> {
    this.#isDraining = true
    if (this.#subscribers.size === 0) return
    const allLeft = new Promise<void>((resolve) => {
      this.#lastLeft = resolve
    })
    for (const subscriber of this.#subscribers.values()) subscriber.endSoon()
    await withinMs(allLeft, Math.min(maxMs, maxDrainMs), null)
    this.#endAll()
  }

  /** Ends all subscriptions at once. Idempotent. */
  async close(): Promise<void> {
    this.#isDraining = true
    clearInterval(this.#progressTimer)
    this.#endAll()
    await Promise.all(this.#stopping)
  }

  #endAll(): void {
    for (const subscriber of [...this.#subscribers.values()]) subscriber.close()
  }

  #add(query: LiveQuery, { call, filter, open, found, isStartKnown }: Entry): Subscriber {
    const { tail, subscriberMaxBytes, count, now, monotonicNow } = this.#options
    const { topic, onSlow, caller = '' } = query
    const subscriberId = query.subscriberId || randomUUID()
    const name = nameOf(caller, subscriberId)
    const text = `another subscription took the subscriber_id "${subscriberId}"`
    const taken = new MillraceError('cancelled', text, { field: 'subscriber_id' })
    const before = this.#subscribers.get(name)
    // The log answers calls in any order; the client has given up the earlier one.
    if (before !== undefined && before.call > call) throw taken
    before?.end(taken)
    const subscriber = new Subscriber({
      ...{ call, subscriberId, topic, filter, onSlow, isStartKnown, tail, monotonicNow },
      bounds: { maxEvents: query.maxBufferedEvents ?? defaultBufferedEvents, maxBytes: subscriberMaxBytes },
      start: found.cursor,
      isCut: found.isCut,
      sinceMs: now(),
      feed: open.feed,
      reads: this.#reads,
      pageBytes: () => Math.max(minPageBytes, Math.min(maxPageBytes, maxBytesOfPages / this.#subscribers.size)),
      random: this.#random,
      progressMs: this.#progressMs,
      count: (sent, dropped) => count(topic, sent, dropped),
      onEnd: () => {
        // One that replaces it comes in when it has ended.
        this.#subscribers.delete(name)
        this.#leaveFeed(topic, open)
        if (this.#subscribers.size === 0) this.#lastLeft?.()
      },
    })
    this.#subscribers.set(name, subscriber)
    return subscriber
  }

  async #find(topic: string, start: Start): Promise<CursorFound> {
    const place: CursorPlace =
      start.is === 'since' ? { receivedSinceMs: start.ms } : start.is === 'earliest' ? 'earliest' : 'now'
    return await this.#options.tail.cursorAt(topic, place)
  }

  #openFeed(topic: string): OpenFeed {
    let open = this.#feeds.get(topic)
    if (open === undefined) {
      const { tail, logger, subscriberMaxBytes } = this.#options
      const feed = new TopicFeed({ topic, tail, logger, subscriberMaxBytes, random: this.#random })
      open = { feed, started: feed.start(), users: 0 }
      this.#feeds.set(topic, open)
    }
    open.users++
    return open
  }

  /** The last one stops it. */
  #leaveFeed(topic: string, open: OpenFeed): void {
    open.users--
    if (open.users > 0) return
    this.#feeds.delete(topic)
    const stopped = open.feed.stop().finally(() => this.#stopping.delete(stopped))
    this.#stopping.add(stopped)
  }

  #checkTopic(topic: string): void {
    const { topics } = this.#options
    if (topics.includes(topic)) return
    const text = `topic "${topic.slice(0, 64)}" is not declared; this server has ${topics.join(', ')}`
    throw new MillraceError('not_found', text, { field: 'topic' })
  }

  #checkRoom({ caller = '', subscriberId }: LiveQuery): void {
    if (this.#isDraining) throw new MillraceError('draining', 'the server is stopping: subscribe again')
    if (this.#subscribers.size < maxSubscribers || this.#subscribers.has(nameOf(caller, subscriberId))) return
    throw new MillraceError('backlogged', `this process has ${maxSubscribers} subscribers, as many as it takes`)
  }

  #reportProgress(): void {
    for (const subscriber of this.#subscribers.values()) subscriber.reportProgress()
  }
}

/** An id has no slash. */
function nameOf(caller: string, subscriberId: string): string {
  return `${subscriberId}/${caller}`
}
