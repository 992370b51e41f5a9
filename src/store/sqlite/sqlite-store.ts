// The embedded event store: SQLite in a worker thread, one file, nothing to install.
//
// Job: the contract of EventStore on the main thread: calls to the thread and the meaning of its failures.
// Not its job: the rows (land-events.ts, list-events.ts), which are processed in store-thread.ts.

import { MillraceError } from '../../errors.ts'
import { type Lane, lanes, priorityOfLane, uuidFromBytes, uuidToBytes } from '../../event/event.ts'
import { DatabaseThread } from '../../lib/sqlite/database-thread.ts'
import type { SqliteFailure } from '../../lib/sqlite/failure.ts'
import { threadScript } from '../../lib/thread-script.ts'
import { parseMicros } from '../../lib/timestamp.ts'
import type { DeadLetterCause, DeadLetterFilter, DeadLetterPage } from '../../pipeline/dead-letters.ts'
import type { FileDescription } from '../../pipeline/files.ts'
import type { StoreObservation } from '../../pipeline/observations.ts'
import type { EventPage, EventQuery, StoredEvent } from '../../pipeline/stored-event.ts'
import type { ApiKeyInsertion, ApiKeyQuery, ApiKeyUse, StoredApiKey } from '../api-keys.ts'
import type { DeadLetter, StoredDeadLetterQuery } from '../dead-letter.ts'
import { pageOfDeadLetters, pageStart, storable } from '../dead-letter-page.ts'
import {
  type AgentQuery,
  dataTooLong,
  type EventStore,
  type FoundRow,
  type LandedCounts,
  type LandedEvent,
  type LandedStreams,
  type LandingEntry,
  type RefusedRow,
  type StoreDescription,
  type StoredAgent,
  type StoredAgents,
} from '../event-store.ts'
import { checkLimit, comparePlaces, formatCursor, parseCursor, placeBefore, topPlace } from '../page-cursor.ts'
import { toCause, toDeadLetter, toRow, toSummary } from './dead-letter-rows.ts'
import type { PlacedRow } from './find-events.ts'
import { packLanding } from './landing-message.ts'
import type { ReadRow } from './list-events.ts'
import type { StoreThreadData, StoreThreadMethods } from './store-thread.ts'

export interface SqliteStoreOptions {
  /** The database file. Its directory must exist. */
  readonly path: string
  /** Landing fails with `disk_full` while less than half of this is free on the disk. 0: never. */
  readonly diskReserveBytes: number
  /** Whether a new file may be created. */
  readonly mayCreate: boolean
}

/** One call lands while the next one is prepared. */
const maxSpareBuffers = 2
const maxSpareBufferBytes = 8 * 1024 * 1024

/**
 * Opens the store, flushes what an earlier process left in its WAL and brings its tables to this version. Throws and
 * closes the file: `corrupt` (the file is damaged, foreign, or missing although its WAL exists), `failed_precondition`
 * (a file of another version), `unavailable` (locked by another program), `disk_full`, `internal`.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<EventStore> {
  const data: StoreThreadData = options
  const thread: StoreDatabaseThread = new DatabaseThread(threadScript('store-thread', import.meta.url), data)
  try {
    const refusal = await thread.call('open', null)
    if (refusal !== null) throw new MillraceError('failed_precondition', refusal)
  } catch (thrown) {
    await thread.close()
    throw thrown instanceof MillraceError ? thrown : toOpeningError(thrown as SqliteFailure, options.path)
  }
  return new SqliteStore(thread)
}

type StoreDatabaseThread = DatabaseThread<StoreThreadMethods>

class SqliteStore implements EventStore {
  readonly failed: Promise<Error>
  readonly #thread: StoreDatabaseThread
  /** Buffers of finished calls, for the next ones. */
  readonly #spareBuffers: ArrayBuffer[] = []
  #closing: Promise<void> | null = null

  constructor(thread: StoreDatabaseThread) {
    this.#thread = thread
    this.failed = thread.failed.then(toStoreError)
  }

  async landEvents(entries: readonly LandingEntry[]): Promise<LandedCounts> {
    this.#refuseClosed()
    if (entries.length === 0) return { landed: 0, duplicates: 0, conflicts: [], poison: [] }
    const message = packLanding(entries, this.#spareBuffers.pop())
    const { counts, buffer } = await this.#thread.call('land', message, [message.buffer]).catch(rethrow)
    const isWorthKeeping = buffer.byteLength <= maxSpareBufferBytes && this.#spareBuffers.length < maxSpareBuffers
    if (isWorthKeeping) this.#spareBuffers.push(buffer)
    return counts
  }

  async listEvents(query: EventQuery): Promise<EventPage> {
    this.#refuseClosed()
    checkLimit(query.limit)
    const { rows, next } = await this.#thread
      .call('list', {
        below: topOf(query),
        sinceMicros: query.sinceMicros ?? Number.MIN_SAFE_INTEGER,
        type: query.type ?? null,
        source: query.source ?? null,
        limit: query.limit,
      })
      .catch(rethrow)
    return { events: rows.map(toStoredEvent), nextCursor: next === null ? null : formatCursor(next) }
  }

  async findEvents(eventIds: readonly string[]): Promise<readonly LandedEvent[]> {
    return (await this.#call('findEvents', eventIds)).map(toLandedEvent)
  }

  async findRows(eventIds: readonly string[]): Promise<readonly FoundRow[]> {
    const rows = await this.#call('findRows', eventIds)
    return rows.map(({ event_id, source }) => ({ eventId: uuidFromBytes(event_id), source }))
  }

  async landedStreams(): Promise<LandedStreams> {
    const rows = await this.#call('landedStreams', null)
    const streams = rows.map(({ epoch, next_offset: nextOffset, ...stream }) => ({ stream, epoch, nextOffset }))
    return { isComplete: true, streams }
  }

  landDeadLetters(deadLetters: readonly DeadLetter[]): Promise<readonly RefusedRow[]> {
    return this.#call(
      'landDeadLetters',
      deadLetters.map((letter) => toRow(storable(letter))),
    )
  }

  async listDeadLetters(query: StoredDeadLetterQuery): Promise<DeadLetterPage> {
    const { limit, cursor, isOldestFirst = false, ...filter } = query
    checkLimit(limit)
    const { receivedAtMicros: micros, eventId: id } = pageStart(cursor, isOldestFirst)
    const request = { filter, isOldestFirst, start: { micros, id }, limit: limit + 1 }
    const rows = await this.#call('listDeadLetters', request)
    return pageOfDeadLetters(rows.map(toSummary), limit)
  }

  async readDeadLetters(deadLetterIds: readonly string[]): Promise<readonly DeadLetter[]> {
    return (await this.#call('readDeadLetters', deadLetterIds.map(uuidToBytes))).map(toDeadLetter)
  }

  countDeadLetters(filter: DeadLetterFilter): Promise<number> {
    return this.#call('countDeadLetters', filter)
  }

  async groupDeadLetters(filter: DeadLetterFilter): Promise<readonly DeadLetterCause[]> {
    return (await this.#call('groupDeadLetters', filter)).map(toCause)
  }

  async noteRedriven(deadLetterIds: readonly string[], atMicros: number): Promise<void> {
    await this.#call('noteRedriven', { deadLetterIds, atMicros })
  }

  deleteDeadLetters(deadLetterIds: readonly string[]): Promise<number> {
    return this.#call('deleteDeadLetters', deadLetterIds)
  }

  upsertAgents(agents: readonly StoredAgent[]): Promise<readonly RefusedRow[]> {
    return this.#call('upsertAgents', agents)
  }

  listAgents(query: AgentQuery): Promise<StoredAgents> {
    return this.#call('listAgents', query)
  }

  saveFile(file: FileDescription): Promise<void> {
    return this.#call('saveFile', file)
  }

  file(fileId: string): Promise<FileDescription | null> {
    return this.#call('readFile', fileId)
  }

  setAnalysis(fileId: string, analysis: string): Promise<void> {
    return this.#call('setAnalysis', { fileId, analysis })
  }

  insertApiKey(key: StoredApiKey, isFirstAdmin: boolean): Promise<ApiKeyInsertion> {
    return this.#call('insertApiKey', { key, isFirstAdmin })
  }

  listApiKeys(query: ApiKeyQuery): Promise<readonly StoredApiKey[]> {
    return this.#call('listApiKeys', query)
  }

  revokeApiKey(keyId: string, atMicros: number): Promise<boolean> {
    return this.#call('revokeApiKey', { keyId, atMicros })
  }

  noteApiKeysUsed(uses: readonly ApiKeyUse[]): Promise<void> {
    return this.#call('noteApiKeysUsed', uses)
  }

  async describe(): Promise<StoreDescription> {
    const driver = 'sqlite'
    const down = ({ code, message }: MillraceError) => ({ driver, up: false, problem: message, code, warnings: [] })
    if (this.#closing !== null) return down(new MillraceError('unavailable', 'the event store is closed'))
    return await this.#thread.call('probe', null).then(
      () => ({ driver, up: true, problem: null, code: null, warnings: [] }),
      (failure: SqliteFailure) => down(toStoreError(failure)),
    )
  }

  observe(): Promise<StoreObservation> {
    return this.#call('observe', null)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    // The thread answers in order, so running calls finish first. A checkpoint that fails here loses nothing: the rows
    // are flushed in the WAL, and the next start repeats the checkpoint. A failed flush has also resolved `failed`.
    await this.#thread.call('close', null).catch(() => {})
    await this.#thread.close()
  }

  async #call<K extends keyof StoreThreadMethods>(
    method: K,
    argument: Parameters<StoreThreadMethods[K]>[0],
  ): Promise<ReturnType<StoreThreadMethods[K]>> {
    this.#refuseClosed()
    return await this.#thread.call(method, argument).catch(rethrow)
  }

  #refuseClosed(): void {
    if (this.#closing !== null) throw new MillraceError('unavailable', 'the event store is closed')
  }
}

/** The start of the page: below the cursor and below `untilMicros`. */
function topOf({ cursor, untilMicros }: EventQuery): ReturnType<typeof parseCursor> {
  const below = cursor === undefined ? topPlace : parseCursor(cursor)
  const until = untilMicros === undefined ? topPlace : placeBefore(untilMicros)
  return comparePlaces(below, until) > 0 ? below : until
}

const laneOfNumber = new Map<number, Lane>(lanes.map((lane) => [priorityOfLane[lane], lane]))

function toStoredEvent(row: ReadRow): StoredEvent {
  const eventId = uuidFromBytes(row.event_id)
  return {
    eventId,
    id: row.id ?? eventId,
    source: row.source,
    type: row.type,
    subject: row.subject ?? '',
    timeMicros: parseMicros(row.time),
    receivedAtMicros: row.received_at,
    topic: row.topic,
    lane: laneOfNumber.get(row.priority) ?? 'normal',
    key: row.key ?? '',
    data: row.data,
    isJson: row.is_json === 1,
    dataOmitted: dataTooLong(row.data_length),
    dataContentType: row.data_content_type,
    // JSON.parse creates an own property for any name, including __proto__.
    attributes: new Map(Object.entries(row.attributes === null ? {} : (JSON.parse(row.attributes) as object))),
  }
}

function toLandedEvent(row: PlacedRow): LandedEvent {
  const stream = { topic: row.stream_topic, partition: row.partition, lane: row.lane }
  return { event: toStoredEvent(row), position: { stream, epoch: row.epoch, offset: row.log_offset } }
}

function rethrow(failure: SqliteFailure): never {
  throw toStoreError(failure)
}

/** Names the file and includes SQLite's message, for the operator who starts the server. */
function toOpeningError(failure: SqliteFailure, path: string): MillraceError {
  const { code } = toStoreError(failure)
  const fix = code === 'corrupt' ? '. Restore it from a backup, or start with empty data: `millrace clean`' : ''
  return new MillraceError(code, `cannot open the event store ${path}: ${failure.message}${fix}`, { cause: failure })
}

/** API callers may see these messages, so SQLite's own messages about tables and statements stay in the cause. */
function toStoreError(failure: SqliteFailure): MillraceError {
  switch (failure.kind) {
    case 'locked':
      return new MillraceError('unavailable', 'the event store is locked by another program', { cause: failure })
    case 'memory':
      return new MillraceError('unavailable', 'the event store is out of memory', { cause: failure })
    case 'full':
      return new MillraceError('disk_full', 'the disk of the event store is full', { cause: failure })
    case 'damaged':
      return new MillraceError('corrupt', 'the event store is damaged', { cause: failure })
    case 'io':
    case 'row':
    case 'other':
      return new MillraceError('internal', 'the event store has failed', { cause: failure })
  }
}
