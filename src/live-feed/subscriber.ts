// One subscription: what was before it began, then what comes, as frames.
//
// Its states, and what ends each:
//   behind   it reads its own pages of the log, at the pace of `next`       the feed is near, and behind it in no stream
//   joining  the feed fills its backlog; it reads its own pages up to       nothing is left to read
//            where the backlog begins
//   live     it takes from its backlog                                      the end
//   ended    it has no more frames, or an error
//
// While it is behind nothing is read ahead, so nothing is dropped. Joining is without a hole and without a repetition because
// the feed gives from its cursor on, and the last own page is cut there.

import { MillraceError } from '../errors.ts'
import type { LogTail, TailPage, TopicCursor } from '../event-log/tail.ts'
import type { Slots } from '../lib/slots.ts'
import type { LiveFrame, LiveSubscription, OnSlow, SubscriberStatus } from '../pipeline/live.ts'
import type { Receiver } from './audience.ts'
import type { Backlog, BacklogBounds, LogGap } from './backlog.ts'
import type { BufferedEvent } from './live-event.ts'
import type { LiveFilter } from './live-filter.ts'
import { beginOf, PageWalk } from './page-walk.ts'
import { encodeCursor, eventsBetween, isAsFarAs } from './topic-cursor.ts'
import type { TopicFeed } from './topic-feed.ts'

export const frameBytes = 64 * 1024
/** How many events of the topic the feed may be ahead when a subscriber joins it, or as many as its buffer takes, if fewer. */
const maxEventsToJoin = 20_000
const minEventsToJoin = 1000
const reconnectMinMs = 200
const reconnectMaxMs = 2000

type State =
  | {
      readonly is: 'behind'
      readonly cursor: TopicCursor
      /** Whether the log has said that there is such a place. */
      readonly isKnown: boolean
    }
  | { readonly is: 'joining'; readonly cursor: TopicCursor; readonly upTo: TopicCursor; readonly backlog: Backlog }
  | { readonly is: 'live'; readonly backlog: Backlog }
  | { readonly is: 'ended'; readonly error: MillraceError | null }

export interface SubscriberOptions {
  /** The number of the call that has made it. */
  readonly call: number
  readonly subscriberId: string
  readonly topic: string
  readonly filter: LiveFilter
  readonly onSlow: OnSlow
  readonly bounds: BacklogBounds
  readonly start: TopicCursor
  /** Whether the start is from the log, not from a user. */
  readonly isStartKnown: boolean
  /** Whether events that were asked for may be missing before the start. */
  readonly isCut: boolean
  readonly sinceMs: number
  readonly feed: TopicFeed
  readonly tail: LogTail
  /** For reads of its own pages. */
  readonly reads: Slots
  /** How much it reads of the log at once, and holds until it is taken. */
  readonly pageBytes: () => number
  readonly monotonicNow: () => number
  readonly random: () => number
  /** After how long without a frame it is told that its cursor has moved. */
  readonly progressMs: number
  /** Counts events that were sent, or dropped, or both. */
  readonly count: (sent: number, dropped: number) => void
  /** Called once, at the end. */
  readonly onEnd: () => void
}

export class Subscriber implements LiveSubscription, Receiver {
  readonly call: number
  readonly subscriberId: string
  readonly startCursor: string
  readonly filter: LiveFilter
  readonly onSlow: OnSlow
  readonly bounds: BacklogBounds
  readonly #options: SubscriberOptions
  #state: State
  /** Made from its own pages, to be sent. */
  #frames: LiveFrame[] = []
  /** That of the last frame. */
  #cursor: string
  #lastFrameMs: number
  #endsSoon = false
  #wakeUp: (() => void) | null = null
  #sentEvents = 0
  #droppedEvents: number | null = 0
  /** Those that were told, without what nobody knows the number of. */
  #knownDropped = 0
  #countedDropped = 0

  constructor(options: SubscriberOptions) {
    const { topic, start } = options
    this.#options = options
    this.call = options.call
    this.subscriberId = options.subscriberId
    this.filter = options.filter
    this.onSlow = options.onSlow
    this.bounds = options.bounds
    this.startCursor = encodeCursor(topic, start)
    this.#cursor = this.startCursor
    this.#lastFrameMs = options.monotonicNow()
    this.#state = { is: 'behind', cursor: start, isKnown: options.isStartKnown }
    if (options.isCut) this.#addGap({ dropped: null, reason: 'trimmed', from: this.#cursor, to: this.#cursor })
    this.#joinIfNear()
  }

  get topic(): string {
    return this.#options.topic
  }

  async next(): Promise<LiveFrame | null> {
    for (;;) {
      const frame = this.#takeFrame()
      if (frame !== undefined) return frame
      if (this.#state.is === 'live') await this.#woken()
      else await this.#readOn()
    }
  }

  wake(): void {
    const backlog = this.#backlog
    if (this.onSlow === 'disconnect' && backlog !== null && backlog.droppedEvents !== 0) {
      const { events, bytes } = backlog
      const text = `the subscriber was too slow: ${events} events of ${bytes} bytes waited for it, all that its buffer takes`
      this.end(new MillraceError('backlogged', text))
    } else this.#wakeUp?.()
  }

  endSoon(): void {
    this.#endsSoon = true
    this.wake()
  }

  close(): void {
    this.end(null)
  }

  /** Ends it at once. @param error what `next` throws; null: nothing. */
  end(error: MillraceError | null): void {
    if (this.#state.is === 'ended') return
    this.countDropped()
    this.#state = { is: 'ended', error }
    this.#options.feed.detach(this)
    this.#frames = []
    this.#options.onEnd()
    this.wake()
  }

  /** Sends where it stands, if nothing was sent for long and it has moved. To be called now and then. */
  reportProgress(): void {
    const { feed } = this.#options
    if (this.#state.is !== 'live' || !this.#state.backlog.isEmpty) return
    this.#addProgress(() => feed.token)
    if (this.#frames.length > 0) this.wake()
  }

  /** Counts what has been dropped since it was last called, told or not. */
  countDropped(): void {
    // What comes when its buffer is full ends one that wants that, and drops nothing.
    const untold = this.onSlow === 'disconnect' ? 0 : (this.#backlog?.droppedEvents ?? 0)
    const added = this.#knownDropped + untold - this.#countedDropped
    if (added <= 0) return
    this.#countedDropped += added
    this.#options.count(0, added)
  }

  /** Events of the topic between what it has got and the end of the feed; null when that is not known. */
  lagEvents(): number | null {
    const { feed } = this.#options
    switch (this.#state.is) {
      case 'behind':
      case 'joining': {
        const { cursor } = this.#state
        return cursor.epoch === feed.cursor.epoch ? eventsBetween(cursor, feed.cursor) : null
      }
      case 'live': {
        const first = this.#state.backlog.first()
        if (first === null) return 0
        return first.place.epoch === feed.cursor.epoch ? feed.offsetsBefore - first.offsetsBefore : null
      }
      case 'ended':
        return null
    }
  }

  status(): SubscriberStatus {
    const { subscriberId, topic, sinceMs } = this.#options
    const { events = 0, bytes = 0, droppedEvents: waiting = 0 } = this.#backlog ?? {}
    return {
      subscriberId,
      topic,
      sinceMs,
      isLive: this.#state.is === 'live',
      lagEvents: this.lagEvents(),
      bufferedEvents: events,
      bufferedBytes: bytes,
      sentEvents: this.#sentEvents,
      droppedEvents: this.#droppedEvents === null || waiting === null ? null : this.#droppedEvents + waiting,
    }
  }

  /** Undefined when there is none now. */
  #takeFrame(): LiveFrame | null | undefined {
    const state = this.#state
    if (state.is === 'ended') {
      if (state.error !== null) throw state.error
      return null
    }
    const frame = this.#frames.shift() ?? (state.is === 'live' ? this.#frameOf(state.backlog) : null)
    if (frame !== null) return this.#sent(frame)
    if (!this.#endsSoon) return undefined
    this.end(null)
    const { random } = this.#options
    const afterMs = Math.round(reconnectMinMs + random() * (reconnectMaxMs - reconnectMinMs))
    return { is: 'reconnect', cursor: this.#cursor, afterMs }
  }

  #sent(frame: LiveFrame): LiveFrame {
    this.#cursor = frame.cursor
    this.#lastFrameMs = this.#options.monotonicNow()
    if (frame.is === 'gap') this.#tellDropped(frame.dropped)
    if (frame.is !== 'events') return frame
    this.#sentEvents += frame.events.length
    this.#options.count(frame.events.length, 0)
    return frame
  }

  get #backlog(): Backlog | null {
    return 'backlog' in this.#state ? this.#state.backlog : null
  }

  #tellDropped(events: number | null): void {
    this.#droppedEvents = this.#droppedEvents === null || events === null ? null : this.#droppedEvents + events
    this.#knownDropped += events ?? 0
    this.countDropped()
  }

  #frameOf(backlog: Backlog): LiveFrame | null {
    const taken = backlog.take(frameBytes)
    if (taken === null) return null
    if ('reason' in taken) return { is: 'gap', cursor: taken.to, ...taken }
    if ('isBetween' in taken) {
      const { dropped, to, isBetween } = taken
      const from = this.#cursor
      // A subscriber that resumes while earlier events still wait must not skip these.
      const cursor = isBetween ? from : to
      return { is: 'gap', cursor, dropped, from, to, reason: dropped === null ? 'lost' : 'slow' }
    }
    return { is: 'events', cursor: taken.events.at(-1)!.cursor, ...taken }
  }

  /** One step towards the feed. Errors: those of the log. */
  async #readOn(): Promise<void> {
    const state = this.#state
    if (state.is !== 'behind' && state.is !== 'joining') return
    if (state.is === 'behind' && state.isKnown && this.#isNear(state.cursor)) {
      this.#joinIfNear()
      // The feed is behind in some stream, but will get there: it reads on without being asked.
      if (this.#state === state) await this.#feedTurn()
      return
    }
    const { topic, tail, reads, pageBytes } = this.#options
    const page = await reads.run(() => tail.read(topic, state.cursor, { maxBytes: pageBytes(), maxWaitMs: 0 }))
    // It was ended meanwhile.
    if (this.#state !== state) return
    if (state.is === 'joining') return this.#takePageBeforeFeed(page, state)
    const begin = beginOf(page, state.cursor)
    if (page.gap !== null) this.#addGapOfPage(page, page.gap.events, state.cursor, begin)
    this.#addEvents(new PageWalk(topic, page, begin, null))
    this.#addProgress(() => encodeCursor(topic, page.cursor))
    this.#state = { is: 'behind', cursor: page.cursor, isKnown: true }
    // The feed has not noticed yet that the log has begun a new epoch.
    const isAhead = page.entries.length === 0 && page.gap === null && !this.#isNear(page.cursor)
    if (isAhead) await this.#feedTurn()
  }

  #takePageBeforeFeed(page: TailPage, state: State & { is: 'joining' }): void {
    const { topic } = this.#options
    const { cursor, upTo } = state
    // In a new epoch there is nothing that would come before the feed's cursor.
    const isSameLog = page.cursor.epoch === upTo.epoch
    const begin = isSameLog ? beginOf(page, cursor) : upTo
    if (page.gap !== null) {
      // What retention has removed of that which the feed gives too is not missing.
      const isExact = isSameLog && eventsBetween(upTo, begin) === 0
      this.#addGapOfPage(page, isExact ? page.gap.events : null, cursor, upToAtMost(begin, upTo))
    }
    if (isSameLog) this.#addEvents(new PageWalk(topic, page, begin, upTo))
    // A page without entries may have a gap of one partition, while another one cannot be read.
    const hasMoved = isSameLog && eventsBetween(cursor, page.cursor) > 0
    this.#state = { ...state, cursor: hasMoved ? upToAtMost(page.cursor, upTo) : upTo }
    this.#goLiveIfDone()
  }

  #isNear(cursor: TopicCursor): boolean {
    const { feed } = this.#options
    const mostEvents = Math.max(minEventsToJoin, Math.min(maxEventsToJoin, this.bounds.maxEvents))
    return cursor.epoch === feed.cursor.epoch && eventsBetween(cursor, feed.cursor) <= mostEvents
  }

  #joinIfNear(): void {
    const state = this.#state
    const { feed } = this.#options
    if (state.is !== 'behind' || !state.isKnown || !this.#isNear(state.cursor)) return
    if (!isAsFarAs(feed.cursor, state.cursor)) return
    this.#state = { is: 'joining', cursor: state.cursor, upTo: feed.cursor, backlog: feed.attach(this) }
    this.#goLiveIfDone()
  }

  #goLiveIfDone(): void {
    const state = this.#state
    if (state.is !== 'joining' || !isAsFarAs(state.cursor, state.upTo)) return
    this.#frames.push({ is: 'caught_up', cursor: encodeCursor(this.#options.topic, state.upTo) })
    this.#state = { is: 'live', backlog: state.backlog }
  }

  #addEvents(walk: PageWalk): void {
    let events: BufferedEvent[] = []
    let bytes = 0
    const endFrame = () => {
      const last = events.at(-1)
      if (last !== undefined) this.#frames.push({ is: 'events', cursor: last.cursor, events, sharedBy: null })
      events = []
      bytes = 0
    }
    while (walk.next()) {
      if (walk.isDamaged) {
        endFrame()
        const { topic } = this.#options
        const from = encodeCursor(topic, walk.cursor)
        this.#addGap({ dropped: null, reason: 'lost', from, to: encodeCursor(topic, walk.cursorAfterEntry) })
      } else if (this.filter.matches(walk.reader.bytes, walk.reader.fields)) {
        // From the pool, in half the time: the events of a page leave together.
        const event = walk.event(Buffer.allocUnsafe)
        if (bytes + event.bytes.length > frameBytes) endFrame()
        events.push(event)
        bytes += event.bytes.length
      }
    }
    endFrame()
  }

  #addGapOfPage(page: TailPage, events: number | null, from: TopicCursor, to: TopicCursor): void {
    const { topic } = this.#options
    this.#addGap({
      // How many of them a filter matches is not known.
      dropped: this.filter.matchesAll ? events : null,
      reason: page.gap?.events === null ? 'lost' : 'trimmed',
      from: encodeCursor(topic, from),
      to: encodeCursor(topic, to),
    })
  }

  #addProgress(cursorNow: () => string): void {
    const { monotonicNow, progressMs } = this.#options
    if (this.#frames.length > 0 || monotonicNow() - this.#lastFrameMs < progressMs) return
    const cursor = cursorNow()
    if (cursor !== this.#cursor) this.#frames.push({ is: 'progress', cursor })
  }

  #addGap(gap: LogGap): void {
    this.#frames.push({ is: 'gap', cursor: gap.to, ...gap })
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeUp = () => {
        this.#wakeUp = null
        resolve()
      }
    })
  }

  /** Also resolves when it is woken: at its end. */
  async #feedTurn(): Promise<void> {
    await Promise.race([this.#options.feed.nextTurn(), this.#woken()])
  }
}

/** In each stream, what is less. */
function upToAtMost({ epoch, offsets }: TopicCursor, most: TopicCursor): TopicCursor {
  return { epoch, offsets: offsets.map((offset, stream) => Math.min(offset, most.offsets[stream] ?? 0)) }
}
