// Reads topics without a group. It keeps no state of a reader: a reader's cursor says where it is.
//
// A partition in which a read found nothing is not asked again at the same place until its bell rings, as poll-plan.ts says
// for consumers. A new epoch ends every cursor: the next read moves it to where the lanes end, if it is beyond.

import { MillraceError } from '../../errors.ts'
import { lanes } from '../../event/event.ts'
import { checkTopicCursor } from '../check-topic-cursor.ts'
import type { KeptEntry } from '../event-log.ts'
import type { CursorFound, CursorPlace, LogTail, TailOptions, TailPage, TopicCursor } from '../tail.ts'
import { listOf, numberOf, type Reply, textOf } from './connection/redis-connection.ts'
import { allReaders, type Bells } from './consume/bells.ts'
import { PollPlan } from './consume/poll-plan.ts'
import type { PartitionKeys } from './redis-keys.ts'
import type { RedisSession } from './session/redis-session.ts'
import { SessionOver } from './session/session-over.ts'
import type { Sessions } from './session/sessions.ts'
import { checksumIn, placeOf, readEntry } from './stored-batch.ts'
import type { KnownTopic } from './topics/registry-content.ts'

/** Limits of one script, which blocks the server while it runs. */
const maxScriptBytes = 1024 * 1024
const maxScriptEntries = 1000
const maxScriptRedeliveries = 1000

/** How often the registry is read for partitions that other processes have added. */
const lookForPartitionsEveryMs = 5_000

/** How many partitions are read at once. */
const readAtOnce = 16

const allLanes = new Set(lanes)

export interface RedisTailOptions {
  readonly sessions: Sessions
  readonly bells: Bells
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** Finds a topic, and with a group one that has it. Errors: `not_found`. */
  readonly findTopic: (name: string, group?: string) => Promise<KnownTopic>
  /** Reads the registry. */
  readonly refresh: () => Promise<void>
}

/** What one script has read of a partition. */
interface Part {
  readonly entries: readonly KeptEntry[]
  /** Where the next one begins in each lane. */
  readonly offsets: readonly number[]
  /** How many events before that are gone; not a number when nobody knows. */
  readonly gone: number
}

export class RedisTail implements LogTail {
  readonly #options: RedisTailOptions
  readonly #plan: PollPlan
  /** At which epoch and offsets the last read of a partition found nothing. */
  readonly #emptyAt = new Map<PartitionKeys, string>()
  /** Why the last read of a partition failed. */
  readonly #failures = new Map<PartitionKeys, unknown>()
  readonly #stop = new AbortController()
  #firstPartition = 0
  #lookedForPartitionsAtMs = Number.NEGATIVE_INFINITY

  constructor(options: RedisTailOptions) {
    this.#options = options
    this.#plan = new PollPlan(options)
  }

  async cursorAt(topic: string, place: CursorPlace): Promise<CursorFound> {
    const { sessions, findTopic } = this.#options
    const [group, sinceMs] =
      typeof place === 'string' ? [] : 'settledBy' in place ? [place.settledBy] : ['', place.receivedSinceMs]
    const { partitions } = await findTopic(topic, group || undefined)
    return await sessions.within(async (session) => {
      const found = await Promise.all(partitions.map((each) => placesIn(session, each, group, sinceMs)))
      const column = place === 'now' ? 0 : place === 'earliest' ? 1 : 2
      const offsets = found.flatMap((places) => places.map((numbers) => numbers[column]!))
      return { cursor: { epoch: session.epoch, offsets }, isCut: found.flat().some(([, , , isCut]) => isCut === 1) }
    })
  }

  async read(topic: string, from: TopicCursor, options: TailOptions): Promise<TailPage> {
    const { sessions, bells } = this.#options
    const { maxWaitMs, signal } = options
    let at = from
    const endsAtMs = performance.now() + maxWaitMs
    const ends = AbortSignal.any([this.#stop.signal, ...(signal === undefined ? [] : [signal])])
    for (let isFirst = true; ; isFirst = false) {
      if (ends.aborted) return nothingAfter(at)
      const { partitions } = await this.#topicOf(topic, at)
      if (maxWaitMs > 0) for (const partition of partitions) bells.subscribe(partition)
      const heard = bells.rungIn(topic)
      const mustAsk = (each: PartitionKeys) => isFirst && (maxWaitMs <= 0 || this.#plan.isUnreachable(each))
      const reading = sessions.within(async (current) => {
        const isOther = at.epoch !== current.epoch
        const page = isOther
          ? await enter(current, partitions, at)
          : await this.#readAll(current, partitions, at, options, mustAsk)
        return { session: current, page }
      })
      const { session, page } = await reading.catch(refuseAsUnavailable)
      if (ends.aborted) return nothingAfter(at)
      if (page.entries.length > 0 || page.gap !== null) return page
      // Behind the offsets that will never hold an event.
      at = page.cursor
      const leftMs = endsAtMs - performance.now()
      const unreachable = partitions.filter((each) => this.#plan.isUnreachable(each))
      if (unreachable.length > 0 && (unreachable.length === partitions.length || leftMs <= 0)) {
        refuseAsUnavailable(this.#failures.get(unreachable[0]!))
      }
      if (leftMs <= 0) return nothingAfter(at)
      const delays = partitions.map((each, index) => this.#delayMs(each, at, index))
      await bells.wait(topic, allReaders, heard, Math.min(leftMs, ...delays), AbortSignal.any([ends, session.over]))
    }
  }

  /** Ends the reads that wait. */
  close(): void {
    this.#stop.abort()
  }

  async #topicOf(name: string, cursor: TopicCursor): Promise<KnownTopic> {
    const { findTopic, refresh } = this.#options
    this.#lookForPartitions()
    let topic = await findTopic(name)
    // The reader has read partitions that this process does not know yet.
    if (cursor.offsets.length > topic.partitions.length * lanes.length) {
      await refresh()
      topic = await findTopic(name)
    }
    checkTopicCursor(name, cursor, topic.partitions.length * lanes.length)
    return topic
  }

  /** The next read has what other processes have added; this one does not wait for it. */
  #lookForPartitions(): void {
    const nowMs = performance.now()
    if (nowMs - this.#lookedForPartitionsAtMs < lookForPartitionsEveryMs) return
    this.#lookedForPartitionsAtMs = nowMs
    void this.#options.refresh().catch(() => {})
  }

  /** Reads the partitions that may have something, in turn, until the page is full. */
  async #readAll(
    session: RedisSession,
    partitions: readonly PartitionKeys[],
    from: TopicCursor,
    { maxBytes, maxWaitMs }: TailOptions,
    mustAsk: (partition: PartitionKeys) => boolean,
  ): Promise<TailPage> {
    const offsets = partitions.flatMap((_, index) => offsetsIn(from, index))
    const entries: KeptEntry[] = []
    let [bytes, gone] = [0, 0]
    const first = this.#firstPartition++ % partitions.length
    const inTurn = Array.from(partitions, (_, index) => (index + first) % partitions.length)
    const due = inTurn.filter((index) => {
      return mustAsk(partitions[index]!) || this.#delayMs(partitions[index]!, from, index) === 0
    })
    for (let at = 0; at < due.length && bytes < maxBytes; at += readAtOnce) {
      const some = due.slice(at, at + readAtOnce)
      const share = Math.min(Math.ceil(maxBytes / some.length), maxScriptBytes)
      const parts = await Promise.all(
        some.map((index) => this.#readOne(session, partitions[index]!, from, share, maxWaitMs > 0)),
      )
      for (const [number, part] of parts.entries()) {
        if (part === null) continue
        offsets.splice(some[number]! * lanes.length, lanes.length, ...part.offsets)
        entries.push(...part.entries)
        bytes += part.entries.reduce((sum, { batch }) => sum + batch.bytes.length, 0)
        gone += part.gone
      }
    }
    const gap = Number.isNaN(gone) ? { events: null } : gone > 0 ? { events: gone } : null
    return { entries, cursor: { epoch: session.epoch, offsets }, gap }
  }

  /** Null when the partition cannot be read. Throws only SessionOver. */
  async #readOne(
    session: RedisSession,
    partition: PartitionKeys,
    from: TopicCursor,
    share: number,
    waits: boolean,
  ): Promise<Part | null> {
    const heard = this.#options.bells.rungAt(partition)
    const keys = [partition.books, ...partition.streams]
    const args = [share, maxScriptEntries, waits ? 1 : 0, ...offsetsIn(from, partition.number)]
    let part: Part
    try {
      part = partOf(session, partition, await session.run('tail', partition, keys, args))
    } catch (thrown) {
      if (thrown instanceof SessionOver) throw thrown
      this.#plan.failed(partition)
      this.#failures.set(partition, thrown)
      return null
    }
    if (part.entries.length > 0 || part.gone !== 0 || !waits) this.#plan.foundSomething(partition)
    else {
      this.#plan.foundNothing(partition, heard, allLanes, Number.POSITIVE_INFINITY)
      this.#emptyAt.set(partition, placeText(from, partition.number))
    }
    return part
  }

  #delayMs(partition: PartitionKeys, from: TopicCursor, index: number): number {
    const isKnown = this.#plan.isUnreachable(partition) || this.#emptyAt.get(partition) === placeText(from, index)
    return isKnown ? this.#plan.pollDelayMs(partition, allLanes) : 0
  }
}

/** The reply of tail.lua. What it has read, the session knows from now on: its loss would be noticed. */
function partOf(session: RedisSession, partition: PartitionKeys, reply: Reply): Part {
  const { topic, number } = partition
  const entries: KeptEntry[] = []
  const offsets: number[] = []
  let gone = 0
  for (const [index, lane] of lanes.entries()) {
    const [through, missed, ...found] = listOf(listOf(reply)[index])
    offsets.push(numberOf(through))
    gone += numberOf(missed) < 0 ? Number.NaN : numberOf(missed)
    for (const entry of found) {
      const [id, fields] = listOf(entry)
      const { offset, count } = placeOf(textOf(id))
      const batch = readEntry(count, fields)
      const known = batch.damaged === true ? null : { id: textOf(id), checksum: checksumIn(fields) }
      session.memoryOf(partition).noteEnd(lane, offset + count, known)
      entries.push({ position: { stream: { topic, partition: number, lane }, epoch: session.epoch, offset }, batch })
    }
  }
  return { entries, offsets, gone }
}

function nothingAfter(cursor: TopicCursor): TailPage {
  return { entries: [], cursor, gap: null }
}

/** Moves a cursor of another epoch into this one. Needs every partition: in one that is left out it might stay beyond the end. */
async function enter(
  session: RedisSession,
  partitions: readonly PartitionKeys[],
  from: TopicCursor,
): Promise<TailPage> {
  const found = await Promise.all(partitions.map((each) => placesIn(session, each)))
  const offsets = found.flatMap((places, index) => {
    return offsetsIn(from, index).map((offset, lane) => Math.min(offset, places[lane]![0]!))
  })
  return { entries: [], cursor: { epoch: session.epoch, offsets }, gap: { events: null } }
}

/** What tail-cursor.lua finds in each lane. */
async function placesIn(session: RedisSession, partition: PartitionKeys, group = '', sinceMs?: number) {
  const keys = [partition.books, ...partition.streams, partition.again(group), partition.tries(group)]
  const args = [group, sinceMs === undefined ? '' : Math.floor(sinceMs * 1000), maxScriptRedeliveries]
  return listOf(await session.run('tail-cursor', partition, keys, args)).map((lane) => listOf(lane).map(numberOf))
}

/** Where a cursor is in the lanes of a partition. */
function offsetsIn({ offsets }: TopicCursor, partition: number): number[] {
  return lanes.map((_, lane) => offsets[partition * lanes.length + lane] ?? 0)
}

function placeText(cursor: TopicCursor, partition: number): string {
  return `${cursor.epoch} ${offsetsIn(cursor, partition).join(' ')}`
}

/** Redis refuses scripts that may write when it cannot save. */
function refuseAsUnavailable(thrown: unknown): never {
  if (!(thrown instanceof MillraceError) || !['disk_full', 'durability_lost'].includes(thrown.code)) throw thrown
  throw new MillraceError('unavailable', thrown.message, { cause: thrown })
}
