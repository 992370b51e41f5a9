// The contract of the database where events land: what every driver guarantees. The conformance suite tests these
// sentences (test/conformance/event-store.suite.ts).

import type { ErrorCode } from '../errors.ts'
import type { RecordBatch } from '../event/record-batch.ts'
import type { Position, StreamName } from '../event-log/event-log.ts'
import type { Agent } from '../pipeline/agents.ts'
import type { DeadLetterCause, DeadLetterFilter, DeadLetterPage } from '../pipeline/dead-letters.ts'
import type { FileDescription } from '../pipeline/files.ts'
import type { StoreObservation } from '../pipeline/observations.ts'
import type { EventPage, EventQuery, StoredEvent } from '../pipeline/stored-event.ts'
import type { ApiKeys } from './api-keys.ts'
import type { DeadLetter, StoredDeadLetterQuery } from './dead-letter.ts'

/** A record batch to land, and the position of its first event in the log. */
export interface LandingEntry {
  readonly position: Position
  readonly batch: RecordBatch
}

/** Where an event is in a call. */
export interface EventPlace {
  /** Index into the entries of the call. */
  readonly entry: number
  /** Index of the event in its batch. */
  readonly index: number
}

/** An event that the database rejects even when it is inserted alone. */
export interface PoisonEvent extends EventPlace {
  /** The database's own code: an SQLSTATE, or SQLite's result code. */
  readonly databaseCode: string
  readonly message: string
}

/** A row that the database rejects: a dead letter, or an agent. */
export interface RefusedRow {
  /** Index into the rows of the call. */
  readonly index: number
  /** The database's own code: an SQLSTATE, or SQLite's result code. */
  readonly databaseCode: string
  readonly message: string
}

/** `landed + duplicates + poison.length` is the number of events given. */
export interface LandedCounts {
  /** Rows inserted. */
  readonly landed: number
  /** Events whose row already existed. */
  readonly duplicates: number
  /** The duplicates that differ in content from the existing row, in any order. */
  readonly conflicts: readonly EventPlace[]
  readonly poison: readonly PoisonEvent[]
}

/** A landed event, and its position in the log. */
export interface LandedEvent {
  readonly event: StoredEvent
  readonly position: Position
}

/** A page ends at the event whose data reaches this many bytes. */
export const maxPageBytes = 1024 * 1024

/**
 * Data that a database returns with more bytes is left out. Data that ingest accepts has fewer: 1 MiB as sent, 1 MiB for
 * numbers written out, half a MiB for the spaces of jsonb.
 */
export const maxDataBytes = 3 * 1024 * 1024

/** Why data of this length is left out; null if it is not. */
export function dataTooLong(bytes: number): string | null {
  if (bytes <= maxDataBytes) return null
  return `the data has ${bytes} bytes; at most ${maxDataBytes} are shown: read it from the database`
}

/** The key of a row, and the source of its event. */
export interface FoundRow {
  readonly eventId: string
  readonly source: string
}

/** How far the streams of the log have come into the database. */
export interface LandedStreams {
  /**
   * Whether it was counted with every landing: then a stream that is missing here has not landed. Otherwise the
   * newest rows of the table show it: what they show has landed, and later events may have.
   */
  readonly isComplete: boolean
  readonly streams: readonly LandedStream[]
}

export interface LandedStream {
  readonly stream: StreamName
  readonly epoch: number
  /** The offset behind the last event. */
  readonly nextOffset: number
}

/** An agent as its row has it. */
export type StoredAgent = Omit<Agent, 'online'>

export interface AgentQuery {
  /** Agents with this id, or one behind it; '' for all. */
  readonly from: string
  /** 1 or more. */
  readonly limit: number
}

export interface StoredAgents {
  readonly agents: readonly StoredAgent[]
  /** Whether there are agents behind the last one. */
  readonly hasMore: boolean
}

/** @param found up to `limit + 1` agents; the last one only shows that there are more. */
export function pageOfAgents(found: Iterable<StoredAgent>, limit: number): StoredAgents {
  const agents: StoredAgent[] = []
  let bytes = 0
  for (const agent of found) {
    if (agents.length === limit || bytes >= maxPageBytes) return { agents, hasMore: true }
    agents.push(agent)
    bytes += agent.metadata.length
  }
  return { agents, hasMore: false }
}

export interface StoreDescription {
  readonly driver: string
  /** Whether the database responds now. */
  readonly up: boolean
  /** Why no event can land now; null if events can. */
  readonly problem: string | null
  /** The error code of the problem. */
  readonly code: ErrorCode | null
  /** What the operator should know, although events can land. */
  readonly warnings: readonly string[]
}

export interface EventStore extends ApiKeys {
  /**
   * Inserts one row for each event that has none yet.
   *
   * Durable: when the promise resolves, the rows are committed and flushed, and readers see them.
   * Idempotent: an event whose row already exists is counted as a duplicate; the first content wins.
   * Two sources may use the same UUID: the key of the second row is the UUIDv5 of source and id.
   * A poison event neither delays nor drops the other events of the call; it gets no row.
   * The caller must not pass damaged batches.
   * Errors: `disk_full` and `unavailable` (retryable; nothing of this call has landed, or the outcome is unknown);
   * `failed_precondition` (an operator has to act); `corrupt` and `internal` (the store has failed, see `failed`).
   */
  landEvents(entries: readonly LandingEntry[]): Promise<LandedCounts>

  /**
   * Lists landed events, newest first by (receivedAt, eventId). Pages that follow each other's cursor repeat no event
   * and skip none that had landed before the first page. A page ends before its limit at the event whose data reaches
   * `maxPageBytes`; data that is left out may count. Behind that event the database reads only a few more. Data that has
   * more than `maxDataBytes`, or that the database cannot return, is left out, and `dataOmitted` has the reason;
   * then the attributes may be left out too. Errors: `invalid_event` for an invalid cursor.
   */
  listEvents(query: EventQuery): Promise<EventPage>

  /**
   * Returns the landed events with these keys (at most 10), in no particular order; keys without a row are left out.
   * Data is left out as in listEvents. Errors: `unavailable`.
   */
  findEvents(eventIds: readonly string[]): Promise<readonly LandedEvent[]>

  /** Returns which of these keys have a row, with the source of its event. */
  findRows(eventIds: readonly string[]): Promise<readonly FoundRow[]>

  /** Returns how far each stream has landed. Its cost is bounded, as that of observe. Errors: `unavailable`. */
  landedStreams(): Promise<LandedStreams>

  /**
   * Inserts one row for each dead letter that has none yet. Durable and idempotent as landEvents. If the id already has
   * a row, a letter with a later `deadAt` replaces its content and is open again, that is, not redriven. Text that the
   * database does not accept is escaped. Returns the letters that it rejects all the same, for example by a constraint
   * of the owner: they have no row, and neither delay nor drop the others. Errors: those of landEvents.
   */
  landDeadLetters(deadLetters: readonly DeadLetter[]): Promise<readonly RefusedRow[]>

  /**
   * Lists dead letters, newest first by (deadAt, deadLetterId), or oldest first. Errors: `invalid_event` for an invalid
   * cursor.
   */
  listDeadLetters(query: StoredDeadLetterQuery): Promise<DeadLetterPage>

  /**
   * Returns the dead letters with these ids (at most 1000), with their events, in the order of the ids, up to the one
   * whose event reaches `maxPageBytes`. Unknown ids are left out.
   */
  readDeadLetters(deadLetterIds: readonly string[]): Promise<readonly DeadLetter[]>

  /** Counts the dead letters that match the filter. */
  countDeadLetters(filter: DeadLetterFilter): Promise<number>

  /** Groups the matching dead letters by cause, the most frequent cause first. */
  groupDeadLetters(filter: DeadLetterFilter): Promise<readonly DeadLetterCause[]>

  /** Records that these were redriven at this time and increments their `redrives`. Unknown ids are ignored. */
  noteRedriven(deadLetterIds: readonly string[], atMicros: number): Promise<void>

  /** Deletes these permanently and returns how many existed. */
  deleteDeadLetters(deadLetterIds: readonly string[]): Promise<number>

  /**
   * Stores the last heartbeat of each of these agents; an id must not be given twice. A heartbeat that is older than the
   * stored one changes nothing, so neither the order of calls nor their repetition matters. Durable as landEvents.
   * Returns the agents that the database rejects, for example because of their metadata: their rows, if they have any,
   * stay as they are, and the others are stored. Errors: those of landEvents.
   */
  upsertAgents(agents: readonly StoredAgent[]): Promise<readonly RefusedRow[]>

  /**
   * Lists agents in the order of the bytes of their ids. A page ends before its limit at the agent whose metadata reaches
   * `maxPageBytes`. Errors: `unavailable`.
   */
  listAgents(query: AgentQuery): Promise<StoredAgents>

  /**
   * Stores what is known of a file, in place of what is stored under its id. When the promise resolves it is committed and
   * flushed. Errors: those of landEvents.
   * @param file.fileId a UUID in lower case, here and below.
   */
  saveFile(file: FileDescription): Promise<void>

  /** What saveFile has stored under the id; null when nothing is. Errors: `unavailable`. */
  file(fileId: string): Promise<FileDescription | null>

  /**
   * Sets the analysis of a file, JSON text, in place of an earlier one. PostgreSQL keeps its value, not its spelling.
   * Without effect when the file is unknown. Durable and errors as saveFile.
   */
  setAnalysis(fileId: string, analysis: string): Promise<void>

  /** Returns the driver's name, whether the database responds now, and if not, why. Never rejects. */
  describe(): Promise<StoreDescription>

  /**
   * Reads figures about the tables for monitoring. Its cost is bounded, whatever the size of the tables, and it delays
   * other calls by no more than some milliseconds. Errors: `unavailable`.
   */
  observe(): Promise<StoreObservation>

  /** Resolves with the reason when the store has failed permanently; the process should then exit. */
  readonly failed: Promise<Error>

  /**
   * Finishes the running calls and closes the files and connections. Idempotent.
   * @param graceMs how long calls to a database server may still take; then they fail. Without it they have their own
   * timeouts.
   */
  close(graceMs?: number): Promise<void>
}
