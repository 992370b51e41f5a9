// Compares the log with the database: after a restore, one of the two may be older than the other.
//
// A database that is older lacks rows of events, and dead letters, that the log has settled; replay brings back those that
// the log still keeps. A log that is older has lost what waited in its missing part, and uses positions a second time.

import { defaultSource, eventIdOf, isUuid, uuidFromBytes, uuidOfSourceAndId } from '../event/event.ts'
import { decodeBatch } from '../event/record-batch.ts'
import type { EventLog, KeptEntry, LogDescription, StreamName, TopicDescription } from '../event-log/event-log.ts'
import { formatPosition } from '../event-log/position-text.ts'
import type { EventStore, LandedStreams } from '../store/event-store.ts'
import { readDeadLetterEvent } from '../workers/dead-letter-event.ts'
import { deadLetterGroup, deadLetterTopic } from '../workers/dead-letters.ts'

/** How many settled events of a topic are looked up in the database at most. */
const maxComparedEvents = 100_000
/**
 * Where the database does not know how far a stream has landed, this many events at its end are compared first. If all
 * have landed, the others are taken as landed too.
 */
const maxUnknownEvents = 1000
/** Max keys of one query. */
const maxKeys = 1000
const maxPageBytes = 1024 * 1024

export interface ComparedParts {
  readonly eventLog: EventLog
  readonly store: EventStore
  /** The group whose events land. */
  readonly group: string
}

/**
 * Returns what is missing, a text for the operator for each topic and stream. Errors: those of the log and the store.
 */
export async function compareLog(parts: ComparedParts): Promise<string[]> {
  // In this order: other processes may append, land and settle meanwhile.
  const landed = await parts.store.landedStreams()
  const log = await parts.eventLog.describe()
  const warnings: string[] = []
  for (const topic of log.topics) {
    if (!topic.groups.some(({ name }) => name === parts.group)) continue
    const warning = await new TopicComparison({ ...parts, log, topic, landed }).run()
    if (warning !== null) warnings.push(warning)
  }
  // Only in an older database: elsewhere a person has deleted them.
  if (warnings.length > 0) warnings.push(...(await lostDeadLetters(parts, log)))
  return [...olderLog(log, landed), ...warnings]
}

/** Leaves out those of the group whose events land: they come from the events that are missing too. */
async function lostDeadLetters({ eventLog, store, group }: ComparedParts, log: LogDescription): Promise<string[]> {
  let compared = 0
  let lost = 0
  let oldestMicros = Number.POSITIVE_INFINITY
  const topic = log.topics.find(({ name }) => name === deadLetterTopic)
  const streams = topic?.groups.some(({ name }) => name === deadLetterGroup) ? topic.streams : []
  for (const { partition, lane } of streams) {
    const stream = { topic: deadLetterTopic, partition, lane }
    for (let next: number | null = 0; next !== null && compared < maxComparedEvents; ) {
      const page = await eventLog.readSettled(stream, deadLetterGroup, { fromOffset: next, maxBytes: maxPageBytes })
      const letters = page.entries.flatMap(({ batch }) =>
        batch.damaged === true
          ? []
          : decodeBatch(batch.bytes).map((event) => ({
              ...readDeadLetterEvent(event),
              atMicros: batch.receivedAtMicros,
            })),
      )
      const others = letters.filter((letter) => letter.group !== group)
      for (let at = 0; at < others.length; at += maxKeys) {
        const some = others.slice(at, at + maxKeys)
        const found = await store.countDeadLetters({ deadLetterIds: some.map(({ deadLetterId }) => deadLetterId) })
        if (found < some.length) oldestMicros = Math.min(oldestMicros, some[0]!.atMicros)
        lost += some.length - found
      }
      compared += letters.length
      next = page.nextOffset
    }
  }
  if (lost === 0) return []
  const since = new Date(Math.floor(oldestMicros / 1000)).toISOString()
  return [
    `the database is older than the log by ${lost} dead letters; "millrace replay --topic ${deadLetterTopic} --into ` +
      `${deadLetterGroup} --since ${since}" brings them back, also those that a person has deleted`,
  ]
}

function olderLog(log: LogDescription, { streams }: LandedStreams): string[] {
  return streams.flatMap(({ stream, epoch, nextOffset }) => {
    const topic = log.topics.find(({ name }) => name === stream.topic)
    const end = topic?.streams.find(({ partition, lane }) => partition === stream.partition && lane === stream.lane)
    const logEnd = end?.nextOffset ?? 0
    if (epoch < log.epoch || (epoch === log.epoch && nextOffset <= logEnd)) return []
    const events = epoch > log.epoch ? nextOffset : nextOffset - logEnd
    const position = formatPosition({ stream, epoch, offset: nextOffset })
    return [
      `the log is older than the database by at least ${events} events: the database has events up to ${position}, the ` +
        `log ends at ${formatPosition({ stream, epoch: log.epoch, offset: logEnd })}. Events that waited in the missing ` +
        'part are lost, and positions are used again; if there is a newer copy of the log, stop the server and restore ' +
        'it. Where several logs land in one database, this is expected',
    ]
  })
}

interface TopicParts extends ComparedParts {
  readonly log: LogDescription
  readonly topic: TopicDescription
  readonly landed: LandedStreams
}

/** Looks up in the database which settled events of a topic have landed. */
class TopicComparison {
  readonly #parts: TopicParts
  #compared = 0
  #missing = 0
  #oldestMissingMicros = Number.POSITIVE_INFINITY

  constructor(parts: TopicParts) {
    this.#parts = parts
  }

  async run(): Promise<string | null> {
    const { name, streams } = this.#parts.topic
    let behind = 0
    for (const { partition, lane, nextOffset } of streams) {
      const stream = { topic: name, partition, lane }
      const from = this.#landedOffset(stream) ?? (await this.#unknownOffset(stream, nextOffset))
      behind += Math.max(0, nextOffset - from)
      if (from < nextOffset) await this.#compare(stream, from)
    }
    const undelivered = this.#missing === 0 ? 0 : this.#waitingOf(deadLetterTopic) + (await this.#diedMeanwhile())
    const missing = Math.max(0, this.#missing - undelivered)
    // What is neither kept nor waiting has been trimmed.
    const gone = this.#canCount ? Math.max(0, behind - this.#compared - this.#waitingOf(name)) : 0
    return missing + gone === 0 ? null : this.#textOf(missing, gone)
  }

  get #isCut(): boolean {
    return this.#compared >= maxComparedEvents
  }

  /** Without complete offsets, duplicates and dead letters at the end of a stream look like events that are gone. */
  get #canCount(): boolean {
    return this.#parts.landed.isComplete && !this.#isCut
  }

  /** Null if it is not known. Offsets continue in a new epoch of the embedded log, so all epochs count. */
  #landedOffset({ topic, partition, lane }: StreamName): number | null {
    const known = this.#parts.landed.streams.filter(
      ({ stream }) => stream.topic === topic && stream.partition === partition && stream.lane === lane,
    )
    if (known.length === 0) return this.#parts.landed.isComplete ? 0 : null
    return Math.max(...known.map(({ nextOffset }) => nextOffset))
  }

  /** From where to compare a stream about which the database knows nothing. */
  async #unknownOffset(stream: StreamName, nextOffset: number): Promise<number> {
    const end = new TopicComparison(this.#parts)
    await end.#compare(stream, Math.max(0, nextOffset - maxUnknownEvents))
    return end.#missing === 0 ? nextOffset : 0
  }

  /** How many events have died since the log was described: their dead letters may not have landed. */
  async #diedMeanwhile(): Promise<number> {
    const { eventLog, log, topic, group } = this.#parts
    const deadIn = ({ topics }: LogDescription) =>
      topics.find(({ name }) => name === topic.name)?.groups.find(({ name }) => name === group)?.dead ?? 0
    return deadIn(await eventLog.describe()) - deadIn(log)
  }

  #waitingOf(name: string): number {
    const groups = this.#parts.log.topics.find((topic) => topic.name === name)?.groups ?? []
    return groups.reduce((most, { waiting }) => Math.max(most, waiting), 0)
  }

  async #compare(stream: StreamName, from: number): Promise<void> {
    for (let next: number | null = from; next !== null && !this.#isCut; ) {
      const page = await this.#parts.eventLog.readSettled(stream, this.#parts.group, {
        fromOffset: next,
        maxBytes: maxPageBytes,
      })
      for (const entry of page.entries) await this.#compareEntry(entry, from)
      next = page.nextOffset
    }
  }

  async #compareEntry({ position, batch }: KeptEntry, from: number): Promise<void> {
    this.#compared += batch.count - Math.max(0, from - position.offset)
    // Its events are one dead letter, with the bytes.
    if (batch.damaged === true) return
    const events = decodeBatch(batch.bytes)
      .slice(Math.max(0, from - position.offset))
      .map(({ source, id }) => ({ source: source || defaultSource, id }))
    for (let at = 0; at < events.length; at += maxKeys / 2) {
      const missing = await this.#countMissing(events.slice(at, at + maxKeys / 2))
      if (missing === 0) continue
      this.#missing += missing
      this.#oldestMissingMicros = Math.min(this.#oldestMissingMicros, batch.receivedAtMicros)
    }
  }

  async #countMissing(events: readonly { readonly source: string; readonly id: string }[]): Promise<number> {
    const rows = await this.#parts.store.findRows(events.flatMap(keysOf))
    const stored = new Set(rows.map(({ eventId, source }) => `${eventId} ${source}`))
    const missing = events.filter((event) => !keysOf(event).some((key) => stored.has(`${key} ${event.source}`)))
    if (missing.length === 0) return 0
    const query = { eventIds: missing.flatMap(keysOf), group: this.#parts.group, limit: maxKeys }
    const { deadLetters } = await this.#parts.store.listDeadLetters(query)
    return missing.length - new Set(deadLetters.map(({ eventId }) => eventId)).size
  }

  #textOf(missing: number, gone: number): string {
    const { topic, landed } = this.#parts
    const atLeast = this.#isCut || !landed.isComplete ? 'at least ' : ''
    const text = `the database is older than the log by ${atLeast}${missing + gone} events of topic ${topic.name}`
    const lost = gone === 0 ? '' : `; ${gone} are no longer in the log`
    if (missing === 0) return text + lost
    // Older events may be missing where the comparison was cut.
    const since = this.#isCut ? '' : ` --since ${new Date(Math.floor(this.#oldestMissingMicros / 1000)).toISOString()}`
    return `${text}; "millrace replay --topic ${topic.name}${since}" brings back ${atLeast}${missing}${lost}`
  }
}

/** The keys that the event's row can have. */
function keysOf({ source, id }: { readonly source: string; readonly id: string }): string[] {
  const key = uuidFromBytes(eventIdOf(source, id))
  return isUuid(id) ? [key, uuidFromBytes(uuidOfSourceAndId(source, id.toLowerCase()))] : [key]
}
