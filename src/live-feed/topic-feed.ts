// The one reader of a topic in this process, for all its live subscribers.
//
// Job: read the end of the log, find who wants each event, put it into their lists.
// Not its job: what was before a subscriber joined (subscriber.ts), what is dropped (backlog.ts).

import { toMillraceError } from '../errors.ts'
import type { LogTail, TailPage, TopicCursor } from '../event-log/tail.ts'
import { sleep } from '../lib/abort.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Logger } from '../telemetry/logger.ts'
import { Audience, type Receiver } from './audience.ts'
import type { Backlog } from './backlog.ts'
import { FilterIndex } from './filter-index.ts'
import { beginOf, PageWalk, sumOf } from './page-walk.ts'
import { encodeCursor } from './topic-cursor.ts'

export interface FeedOptions {
  readonly topic: string
  readonly tail: LogTail
  /** Bound for the bytes of the events that wait for a subscriber. */
  readonly subscriberMaxBytes: number
  readonly logger: Logger
  /** 0 <= random < 1. */
  readonly random: () => number
}

const maxPageBytes = 1024 * 1024
const maxWaitMs = 5000
/** When an event has been put into about so many places the event loop gets a turn, between two entries. */
const placesOfTurn = 50_000
const readBackoff = { baseMs: 100, maxMs: 5000 }

export class TopicFeed {
  readonly #options: FeedOptions
  readonly #audiences = new Map<string, Audience>()
  readonly #index = new FilterIndex<Audience>()
  readonly #stopping = new AbortController()
  #cursor: TopicCursor = { epoch: 0, offsets: [] }
  /** The token of `#cursor`, when somebody has asked for it. */
  #token: string | null = null
  #turn = Promise.withResolvers<void>()
  #running: Promise<void> = Promise.resolve()

  constructor(options: FeedOptions) {
    this.#options = options
  }

  /** Begins to read at the end of the topic. Errors: those of LogTail.cursorAt. */
  async start(): Promise<void> {
    const { tail, topic } = this.#options
    this.#cursor = (await tail.cursorAt(topic, 'now')).cursor
    if (!this.#stopping.signal.aborted) this.#running = this.#run()
  }

  /** Where it stands: what was before has been given to those who were attached. */
  get cursor(): TopicCursor {
    return this.#cursor
  }

  /** How many offsets of the topic are before the cursor. */
  get offsetsBefore(): number {
    return sumOf(this.#cursor.offsets)
  }

  /** The cursor as a token. */
  get token(): string {
    this.#token ??= encodeCursor(this.#options.topic, this.#cursor)
    return this.#token
  }

  /** Resolves when it has read again, or tried to. */
  nextTurn(): Promise<void> {
    return this.#turn.promise
  }

  /** What matches the receiver's filter, from `cursor` on. */
  attach(receiver: Receiver): Backlog {
    const { filter } = receiver
    let audience = this.#audiences.get(filter.key)
    if (audience === undefined) {
      audience = new Audience(filter, this.#options.subscriberMaxBytes)
      this.#audiences.set(filter.key, audience)
      this.#index.add(audience)
    }
    return audience.join(receiver)
  }

  /** Idempotent. */
  detach(receiver: Receiver): void {
    const audience = this.#audiences.get(receiver.filter.key)
    audience?.leave(receiver)
    if (audience?.isEmpty !== true) return
    this.#audiences.delete(audience.filter.key)
    this.#index.remove(audience)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { tail, topic, logger, random } = this.#options
    const { signal } = this.#stopping
    let failures = 0
    while (!signal.aborted) {
      try {
        const page = await tail.read(topic, this.#cursor, { maxBytes: maxPageBytes, maxWaitMs, signal })
        if (signal.aborted) break
        failures = 0
        await this.#take(page)
        this.#endTurn()
        // Lets the connections write: a log that has always more would keep the event loop to itself.
        await nextLoopTurn()
      } catch (thrown) {
        failures++
        const error = toMillraceError(thrown)
        if (failures === 1) logger.warn({ topic, error }, 'the live feed cannot read the log; it tries again')
        this.#endTurn()
        await sleep(backoffMs(failures, readBackoff, random()), signal)
      }
    }
    this.#endTurn()
  }

  #endTurn(): void {
    this.#turn.resolve()
    this.#turn = Promise.withResolvers()
  }

  async #take(page: TailPage): Promise<void> {
    const { topic } = this.#options
    const begin = beginOf(page, this.#cursor)
    if (page.gap !== null) this.#giveGap(page.gap.events, this.#cursor, begin)
    this.#moveTo(begin)
    if (page.entries.length > 0) await this.#giveEvents(new PageWalk(topic, page, begin, null))
    this.#moveTo(page.cursor)
  }

  #moveTo(cursor: TopicCursor): void {
    this.#cursor = cursor
    this.#token = null
  }

  async #giveEvents(walk: PageWalk): Promise<void> {
    const found: Audience[] = []
    const given = new Set<Audience>()
    let [entry, places] = [0, 0]
    while (walk.next()) {
      if (places >= placesOfTurn && walk.entriesEntered > entry) {
        this.#wakeAt(walk.cursor, given)
        await nextLoopTurn()
        places = 0
      }
      entry = walk.entriesEntered
      if (walk.isDamaged) {
        this.#giveGap(null, walk.cursor, walk.cursorAfterEntry)
        continue
      }
      this.#index.find(walk.reader.bytes, walk.reader.fields, found)
      if (found.length === 0) continue
      const event = walk.event()
      for (const audience of found) {
        given.add(audience)
        places += audience.places
        audience.push(event)
      }
    }
    this.#wakeAt(walk.cursor, given)
  }

  /** Moves first: one that joins when another is woken gets what follows, and reads what was before. */
  #wakeAt(cursor: TopicCursor, audiences: Set<Audience>): void {
    this.#moveTo(cursor)
    for (const audience of audiences) audience.wake()
    audiences.clear()
  }

  #giveGap(events: number | null, from: TopicCursor, to: TopicCursor): void {
    const { topic } = this.#options
    const gap = {
      reason: events === null ? ('lost' as const) : ('trimmed' as const),
      from: encodeCursor(topic, from),
      to: encodeCursor(topic, to),
    }
    for (const audience of this.#audiences.values()) {
      // How many of them a filter matches is not known.
      audience.pushGap({ ...gap, dropped: audience.filter.matchesAll ? events : null })
      audience.wake()
    }
  }
}

function nextLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
