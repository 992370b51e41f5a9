// The event store on a PostgreSQL server.
//
// Job: the contract of EventStore: connections and the meaning of their failures. An unreachable server leaves no
// state: each call requests a connection, so the next one works as soon as the server is back.
// Not its job: the rows (land-events.ts, list-events.ts), when to retry (workers/).

import type { Pool, PoolClient } from 'pg'
import { MillraceError } from '../../errors.ts'
import { withinMs } from '../../lib/abort.ts'
import type { DeadLetterCause, DeadLetterFilter, DeadLetterPage } from '../../pipeline/dead-letters.ts'
import type { FileDescription } from '../../pipeline/files.ts'
import type { StoreObservation } from '../../pipeline/observations.ts'
import type { EventPage, EventQuery } from '../../pipeline/stored-event.ts'
import type { ApiKeyInsertion, ApiKeyQuery, ApiKeyUse, StoredApiKey } from '../api-keys.ts'
import type { DeadLetter, StoredDeadLetterQuery } from '../dead-letter.ts'
import { pageOfDeadLetters, pageStart, storable } from '../dead-letter-page.ts'
import type {
  AgentQuery,
  EventStore,
  FoundRow,
  LandedCounts,
  LandedEvent,
  LandedStreams,
  LandingEntry,
  RefusedRow,
  StoreDescription,
  StoredAgent,
  StoredAgents,
} from '../event-store.ts'
import { checkLimit } from '../page-cursor.ts'
import { AgentTable } from './agent-table.ts'
import { ApiKeyTable } from './api-key-table.ts'
import {
  DatabaseCheck,
  problemOf,
  refuseOtherEncodings,
  refuseRules,
  refuseWeakerCommits,
  warningsOf,
} from './check-database.ts'
import { Connections, type Timeouts } from './connections.ts'
import { DeadLetterTable } from './dead-letter-table.ts'
import { FileTable } from './file-table.ts'
import { EventFinder } from './find-events.ts'
import { EventLander } from './land-events.ts'
import { EventLister } from './list-events.ts'
import { LockHolders } from './lock-holder.ts'
import { migrate } from './migrate.ts'
import { EventReader } from './read-events.ts'
import { FailureKinds, sqlStateOf, toStoreError } from './sqlstate.ts'
import { StoreObserver } from './store-observer.ts'

export interface PostgresStoreOptions {
  /** `postgres://user:password@host:port/database?sslmode=…` */
  readonly url: string
  /** Additional SQLSTATEs that reject a single row, which then becomes a dead letter. */
  readonly deadSqlstates?: readonly string[]
  /** Called with an SQLSTATE that is not in the closed list (sqlstate.ts). */
  readonly onUnlistedSqlstate?: (sqlState: string) => void
}

/** One COPY sends rows while the other commits; a third one would only wait for the disk too. */
const maxLandingConnections = 2
/** Two for pages, so that the status and the end of a redrive never wait for one. */
const maxReadingConnections = 3

/** Longer than any COPY takes, shorter than a user would wait. */
const usualTimeouts: Timeouts = { statementMs: 30_000, lockMs: 5000 }
/** Monitoring needs current figures and must not delay other queries. */
const observingTimeouts: Timeouts = { statementMs: 2000, lockMs: 500 }
/** A migration may change a large table, or wait for another process that does. */
const migrationTimeouts: Timeouts = { statementMs: 600_000, lockMs: 600_000 }

/** Longer than the timeouts of any call. */
const longestCallMs = 2 ** 31 - 1
/** How long connections may stay in use after the calls have ended. */
const maxEndMs = 500

/** How long a missing key or right may stay unnoticed while events land. */
const checkEveryMs = 1000

/**
 * Connects and brings the tables to this version. If no server is reachable, it returns a store whose calls each try
 * that again first and fail with `unavailable` until one succeeds. Throws `failed_precondition` (tables of another
 * version, a role without the privileges, a wrong database or password) and then leaves no connection open.
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<EventStore> {
  const store = new PostgresStore(options)
  try {
    await store.prepare()
  } catch (thrown) {
    if (toStoreError(thrown).code !== 'unavailable') {
      await store.close()
      throw toOpeningError(thrown)
    }
  }
  return store
}

/**
 * Brings the tables to this version and returns the numbers of the applied migrations.
 * Errors: those of openPostgresStore, and `unavailable`.
 */
export async function migratePostgres(url: string): Promise<number[]> {
  const connections = new Connections(url)
  try {
    return await withMigrations(connections, (client) => migrate(client))
  } catch (thrown) {
    throw toOpeningError(thrown)
  }
}

/** Rejects with the driver's error, or a MillraceError. */
async function withMigrations<T>(connections: Connections, work: (client: PoolClient) => Promise<T>): Promise<T> {
  return await connections.attempt(async () => {
    const pool = connections.openPool({ max: 1, timeouts: migrationTimeouts })
    try {
      const client = await pool.connect()
      try {
        await refuseOtherEncodings(client)
        return await work(client)
      } finally {
        client.release()
      }
    } finally {
      await pool.end()
    }
  })
}

class PostgresStore implements EventStore {
  /** Never resolves: an unreachable server may come back, so no failure is permanent. */
  readonly failed: Promise<Error> = new Promise(() => {})
  readonly #connections: Connections
  readonly #landing: Pool
  readonly #reading: Pool
  readonly #observing: Pool
  readonly #failures: FailureKinds
  readonly #lander: EventLander
  readonly #lister: EventLister
  readonly #finder: EventFinder
  readonly #deadLetters: DeadLetterTable
  readonly #agents: AgentTable
  readonly #files: FileTable
  readonly #apiKeys: ApiKeyTable
  readonly #observer: StoreObserver
  readonly #lockHolders: LockHolders
  readonly #onUnlistedSqlstate: (sqlState: string) => void
  readonly #check = new DatabaseCheck()
  #checkedAtMs = Number.NEGATIVE_INFINITY
  readonly #running = new Set<Promise<unknown>>()
  /** Null until a migration has started; rejected attempts reset it. */
  #prepared: Promise<void> | null = null
  #closing: Promise<void> | null = null

  constructor({ url, deadSqlstates, onUnlistedSqlstate = () => {} }: PostgresStoreOptions) {
    this.#connections = new Connections(url)
    this.#landing = this.#connections.openPool({ max: maxLandingConnections, timeouts: usualTimeouts })
    this.#reading = this.#connections.openPool({ max: maxReadingConnections, timeouts: usualTimeouts })
    this.#observing = this.#connections.openPool({ max: 1, timeouts: observingTimeouts })
    this.#failures = new FailureKinds(deadSqlstates)
    this.#onUnlistedSqlstate = onUnlistedSqlstate
    this.#lander = new EventLander(this.#failures, () => this.#connections.isPooled)
    this.#landing.on('connect', () => this.#lander.forgetStreams())
    const reader = new EventReader()
    this.#lister = new EventLister(this.#reading, reader, () => performance.now())
    this.#finder = new EventFinder(this.#reading, reader)
    this.#deadLetters = new DeadLetterTable(this.#landing, this.#reading, this.#failures)
    this.#agents = new AgentTable(this.#landing, this.#reading, this.#failures)
    this.#files = new FileTable(this.#landing, this.#reading)
    this.#apiKeys = new ApiKeyTable(this.#landing, this.#reading)
    this.#observer = new StoreObserver(this.#observing)
    this.#lockHolders = new LockHolders(this.#observing)
  }

  /** Migrates the tables once per store; concurrent calls share the attempt. Rejects as withMigrations does. */
  prepare(): Promise<void> {
    this.#prepared ??= withMigrations(this.#connections, async (client) => {
      await migrate(client)
      refuseWeakerCommits(await this.#check.read(client))
      await refuseRules(client)
    }).catch((thrown) => {
      this.#prepared = null
      throw thrown
    })
    return this.#prepared
  }

  landEvents(entries: readonly LandingEntry[]): Promise<LandedCounts> {
    return this.#run(async () => {
      if (entries.length === 0) return { landed: 0, duplicates: 0, conflicts: [], poison: [] }
      return await this.#land(entries)
    })
  }

  listEvents(query: EventQuery): Promise<EventPage> {
    return this.#run(async () => {
      checkLimit(query.limit)
      return await this.#lister.list(query)
    })
  }

  findEvents(eventIds: readonly string[]): Promise<readonly LandedEvent[]> {
    return this.#run(() => this.#finder.findEvents(eventIds))
  }

  findRows(eventIds: readonly string[]): Promise<readonly FoundRow[]> {
    return this.#run(() => this.#finder.findRows(eventIds))
  }

  landedStreams(): Promise<LandedStreams> {
    return this.#run(() => this.#finder.landedStreams())
  }

  landDeadLetters(deadLetters: readonly DeadLetter[]): Promise<readonly RefusedRow[]> {
    return this.#run(() => this.#deadLetters.land(deadLetters.map(storable)))
  }

  listDeadLetters(query: StoredDeadLetterQuery): Promise<DeadLetterPage> {
    return this.#run(async () => {
      const { limit, cursor, isOldestFirst = false } = query
      checkLimit(limit)
      const found = await this.#deadLetters.list(query, pageStart(cursor, isOldestFirst), limit + 1)
      return pageOfDeadLetters(found, limit)
    })
  }

  readDeadLetters(deadLetterIds: readonly string[]): Promise<readonly DeadLetter[]> {
    return this.#run(() => this.#deadLetters.read(deadLetterIds))
  }

  countDeadLetters(filter: DeadLetterFilter): Promise<number> {
    return this.#run(() => this.#deadLetters.count(filter))
  }

  groupDeadLetters(filter: DeadLetterFilter): Promise<readonly DeadLetterCause[]> {
    return this.#run(() => this.#deadLetters.group(filter))
  }

  noteRedriven(deadLetterIds: readonly string[], atMicros: number): Promise<void> {
    return this.#run(() => this.#deadLetters.noteRedriven(deadLetterIds, atMicros))
  }

  deleteDeadLetters(deadLetterIds: readonly string[]): Promise<number> {
    return this.#run(() => this.#deadLetters.delete(deadLetterIds))
  }

  upsertAgents(agents: readonly StoredAgent[]): Promise<readonly RefusedRow[]> {
    return this.#run(() => this.#agents.upsert(agents))
  }

  listAgents(query: AgentQuery): Promise<StoredAgents> {
    return this.#run(() => this.#agents.list(query))
  }

  saveFile(file: FileDescription): Promise<void> {
    return this.#run(() => this.#files.save(file))
  }

  file(fileId: string): Promise<FileDescription | null> {
    return this.#run(() => this.#files.read(fileId))
  }

  setAnalysis(fileId: string, analysis: string): Promise<void> {
    return this.#run(() => this.#files.setAnalysis(fileId, analysis))
  }

  insertApiKey(key: StoredApiKey, isFirstAdmin: boolean): Promise<ApiKeyInsertion> {
    return this.#run(() => this.#apiKeys.insert(key, isFirstAdmin))
  }

  listApiKeys(query: ApiKeyQuery): Promise<readonly StoredApiKey[]> {
    return this.#run(() => this.#apiKeys.list(query))
  }

  revokeApiKey(keyId: string, atMicros: number): Promise<boolean> {
    return this.#run(() => this.#apiKeys.revoke(keyId, atMicros))
  }

  noteApiKeysUsed(uses: readonly ApiKeyUse[]): Promise<void> {
    return this.#run(() => this.#apiKeys.noteUsed(uses))
  }

  async #land(entries: readonly LandingEntry[]): Promise<LandedCounts> {
    let client: PoolClient | undefined
    try {
      client = await this.#landing.connect()
      await this.#requireSound(client)
      const counts = await this.#lander.land(client, entries)
      client.release()
      return counts
    } catch (thrown) {
      const sqlState = sqlStateOf(thrown)
      // If the connection broke, it is unknown whether the server has committed.
      if (sqlState === null) this.#lander.expectDuplicates()
      else if (this.#failures.kindOf(thrown) === 'unlisted') this.#onUnlistedSqlstate(sqlState)
      // The next attempt must use a new connection: the old one would stay on a server that is now read-only, and would
      // keep the old settings of the role.
      client?.release(true)
      this.#checkedAtMs = Number.NEGATIVE_INFINITY
      throw thrown
    }
  }

  /** Without the key, COPY would insert the rows of a redelivery once more. */
  async #requireSound(client: PoolClient): Promise<void> {
    const nowMs = performance.now()
    if (nowMs - this.#checkedAtMs < checkEveryMs) return
    const problem = problemOf(await this.#check.read(client))
    if (problem !== null) throw new MillraceError('failed_precondition', problem)
    this.#checkedAtMs = nowMs
  }

  async describe(): Promise<StoreDescription> {
    const driver = 'postgres'
    try {
      if (this.#closing !== null) throw new MillraceError('unavailable', 'the event store is closed')
      // With the short timeouts of monitoring, and not awaited by close(): a server may hang.
      const facts = await this.#connections.attempt(async () => {
        await this.prepare()
        return await this.#check.read(this.#observing)
      })
      const { isPooled } = this.#connections
      const problem = problemOf(facts)
      const code = problem === null ? null : 'failed_precondition'
      return { driver, up: true, problem, code, warnings: warningsOf(facts, isPooled) }
    } catch (thrown) {
      const { code, message } = toStoreError(thrown)
      return { driver, up: false, problem: message, code, warnings: [] }
    }
  }

  observe(): Promise<StoreObservation> {
    return this.#run(() => this.#observer.observe())
  }

  close(graceMs = longestCallMs): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs: number): Promise<void> {
    const finished = Promise.allSettled(this.#running).then(() => true)
    if (!(await withinMs(finished, graceMs, false))) this.#connections.destroy()
    // Each pool waits for its connections in use.
    const pools = [this.#landing, this.#reading, this.#observing]
    const ended = Promise.all(pools.map((pool) => pool.end())).then(() => true)
    if (!(await withinMs(ended, maxEndMs, false))) this.#connections.destroy()
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing !== null) throw new MillraceError('unavailable', 'the event store is closed')
    const running = this.#connections.attempt(() => this.prepare().then(work))
    this.#running.add(running)
    try {
      return await running
    } catch (thrown) {
      throw toStoreError(thrown, await this.#lockHolders.holderAfter(thrown))
    } finally {
      this.#running.delete(running)
    }
  }
}

/** Names the setting, for the operator who starts the server. */
function toOpeningError(thrown: unknown): MillraceError {
  const { code, message } = toStoreError(thrown)
  return new MillraceError(code, `cannot open the database at MILLRACE_POSTGRES_URL: ${message}`, { cause: thrown })
}
