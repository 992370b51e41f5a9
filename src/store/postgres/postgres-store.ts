// The event store on a PostgreSQL server.
//
// Job: the contract of EventStore: connections and the meaning of their failures. An unreachable server leaves no
// state: each call requests a connection, so the next one works as soon as the server is back.
// Not its job: the rows (land-events.ts, list-events.ts), when to retry (workers/).

import { Pool, type PoolClient, type PoolConfig } from 'pg'
import { MillraceError } from '../../errors.ts'
import type { DeadLetterCause, DeadLetterFilter, DeadLetterPage } from '../../pipeline/dead-letters.ts'
import type { StoreObservation } from '../../pipeline/observations.ts'
import type { EventPage, EventQuery } from '../../pipeline/stored-event.ts'
import type { DeadLetter, StoredDeadLetterQuery } from '../dead-letter.ts'
import { pageOfDeadLetters, pageStart, storable } from '../dead-letter-page.ts'
import type {
  EventStore,
  FoundRow,
  LandedCounts,
  LandedEvent,
  LandingEntry,
  RefusedDeadLetter,
  StoreDescription,
} from '../event-store.ts'
import { checkLimit } from '../page-cursor.ts'
import { refuseOtherEncodings, refuseRules } from './check-database.ts'
import { DeadLetterTable } from './dead-letter-table.ts'
import { EventFinder } from './find-events.ts'
import { EventLander } from './land-events.ts'
import { EventLister } from './list-events.ts'
import { LockHolders } from './lock-holder.ts'
import { migrate } from './migrate.ts'
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
const maxReadingConnections = 2

const connectTimeoutMs = 5000

/** Timeouts of a statement and of waiting for a lock, in milliseconds. The URL overrides them. */
interface Timeouts {
  readonly statementMs: number
  readonly lockMs: number
}

/** Longer than any COPY takes, shorter than a user would wait. */
const usualTimeouts: Timeouts = { statementMs: 30_000, lockMs: 5000 }
/** Monitoring needs current figures and must not delay other queries. */
const observingTimeouts: Timeouts = { statementMs: 2000, lockMs: 500 }
/** A migration may change a large table, or wait for another process that does. */
const migrationTimeouts: Timeouts = { statementMs: 600_000, lockMs: 600_000 }
/** The server ends a transaction that is idle for this long, so that it holds no locks. */
const idleTransactionMs = 60_000

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

async function prepare(url: string): Promise<void> {
  await withMigrations(url, async (client) => {
    await migrate(client)
    await refuseWeakerCommits(client)
    await refuseRules(client)
  })
}

/**
 * Brings the tables to this version and returns the numbers of the applied migrations.
 * Errors: those of openPostgresStore, and `unavailable`.
 */
export async function migratePostgres(url: string): Promise<number[]> {
  try {
    return await withMigrations(url, (client) => migrate(client))
  } catch (thrown) {
    throw toOpeningError(thrown)
  }
}

/** Rejects with the driver's error, or a MillraceError. */
async function withMigrations<T>(url: string, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const pool = openPool(url, 1, migrationTimeouts)
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
}

function openPool(url: string, max: number, { statementMs, lockMs }: Timeouts = usualTimeouts): Pool {
  const asked = Number.parseInt(new URL(url).searchParams.get('statement_timeout') ?? '', 10)
  const longestMs = Number.isNaN(asked) ? statementMs : asked
  const config: PoolConfig = {
    connectionString: url,
    max,
    application_name: 'millrace',
    connectionTimeoutMillis: connectTimeoutMs,
    // Parameters in the URL override all of these.
    statement_timeout: statementMs,
    lock_timeout: lockMs,
    idle_in_transaction_session_timeout: idleTransactionMs,
    // For a server that no longer responds. 0 means no limit, for this and for the statement timeout.
    query_timeout: longestMs === 0 ? 0 : longestMs + connectTimeoutMs,
    keepAlive: true,
  }
  const pool = new Pool(config)
  // An idle connection that breaks is replaced on next use; without these listeners its error would end the process.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

/** Landed events are settled and may be gone from the log: a crash before the flush of a COMMIT would lose them. */
async function refuseWeakerCommits(client: PoolClient): Promise<void> {
  const { rows } = await client.query<{ synchronous_commit: string }>('SHOW synchronous_commit')
  if (rows[0]?.synchronous_commit !== 'off') return
  throw new MillraceError(
    'failed_precondition',
    'synchronous_commit is off for this role or database, so a crash of postgres would lose landed rows: set it to on',
  )
}

class PostgresStore implements EventStore {
  /** Never resolves: an unreachable server may come back, so no failure is permanent. */
  readonly failed: Promise<Error> = new Promise(() => {})
  readonly #url: string
  readonly #landing: Pool
  readonly #reading: Pool
  /** One connection, closed when it is idle. */
  readonly #observing: Pool
  readonly #failures: FailureKinds
  readonly #lander: EventLander
  readonly #lister: EventLister
  readonly #finder: EventFinder
  readonly #deadLetters: DeadLetterTable
  readonly #observer: StoreObserver
  readonly #lockHolders: LockHolders
  readonly #onUnlistedSqlstate: (sqlState: string) => void
  readonly #running = new Set<Promise<unknown>>()
  /** Null until a migration has started; rejected attempts reset it. */
  #prepared: Promise<void> | null = null
  #closing: Promise<void> | null = null

  constructor({ url, deadSqlstates, onUnlistedSqlstate = () => {} }: PostgresStoreOptions) {
    this.#url = url
    this.#landing = openPool(url, maxLandingConnections)
    this.#reading = openPool(url, maxReadingConnections)
    this.#observing = openPool(url, 1, observingTimeouts)
    this.#failures = new FailureKinds(deadSqlstates)
    this.#onUnlistedSqlstate = onUnlistedSqlstate
    this.#lander = new EventLander(this.#failures)
    this.#lister = new EventLister(this.#reading, () => performance.now())
    this.#finder = new EventFinder(this.#reading)
    this.#deadLetters = new DeadLetterTable(this.#landing, this.#reading, this.#failures)
    this.#observer = new StoreObserver(this.#observing)
    this.#lockHolders = new LockHolders(this.#observing)
  }

  /** Migrates the tables once per store; concurrent calls share the attempt. Rejects as withMigrations does. */
  prepare(): Promise<void> {
    this.#prepared ??= prepare(this.#url).catch((thrown) => {
      this.#prepared = null
      throw thrown
    })
    return this.#prepared
  }

  landEvents(entries: readonly LandingEntry[]): Promise<LandedCounts> {
    return this.#run(async () => {
      if (entries.length === 0) return { landed: 0, duplicates: 0, conflicts: 0, poison: [] }
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

  landDeadLetters(deadLetters: readonly DeadLetter[]): Promise<readonly RefusedDeadLetter[]> {
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

  readDeadLetter(deadLetterId: string): Promise<DeadLetter | null> {
    return this.#run(() => this.#deadLetters.read(deadLetterId))
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

  async #land(entries: readonly LandingEntry[]): Promise<LandedCounts> {
    let client: PoolClient | undefined
    try {
      client = await this.#landing.connect()
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
      throw thrown
    }
  }

  async describe(): Promise<StoreDescription> {
    const driver = 'postgres'
    try {
      await this.#run(() => this.#reading.query('SELECT 1'))
      return { driver, up: true, problem: null }
    } catch (thrown) {
      return { driver, up: false, problem: (thrown as MillraceError).message }
    }
  }

  observe(): Promise<StoreObservation> {
    return this.#run(() => this.#observer.observe())
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#running)
    await Promise.all([this.#landing.end(), this.#reading.end(), this.#observing.end()])
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing !== null) throw new MillraceError('unavailable', 'the event store is closed')
    const running = this.prepare().then(work)
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
