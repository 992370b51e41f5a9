// Opens connection pools, and learns from failures how connections must be made.
//
// A direct connection gets its timeouts as start parameters. A pooler such as PgBouncer in transaction mode refuses
// those, and hands each transaction to another session: then every transaction sets its timeouts itself, and nothing
// relies on the session.

import { type ClientBase, type ClientConfig, Pool } from 'pg'
import { type PostgresTarget, readPostgresUrl, timeoutParameters } from '../../config/postgres-url.ts'
import { readSql } from './sql-file.ts'
import { isRefusedParameter } from './sqlstate.ts'
import { TransactionClient } from './transaction-client.ts'

/** Timeouts of a statement and of waiting for a lock, in milliseconds. The URL overrides them. */
export interface Timeouts {
  readonly statementMs: number
  readonly lockMs: number
}

export interface PoolOptions {
  readonly max: number
  readonly timeouts: Timeouts
}

const connectTimeoutMs = 5000
/** The server ends a transaction that is idle for this long, so that it holds no locks. */
const idleTransactionMs = 60_000

export class Connections {
  readonly #target: PostgresTarget
  readonly #showTimeout = readSql('show-timeout')
  readonly #sessionSettings = readSql('session-settings')
  readonly #open = new Set<ClientBase>()
  /** `pooled`: start parameters are refused or have no effect, so each transaction sets its timeouts. */
  #way: 'unknown' | 'direct' | 'pooled' = 'unknown'
  #isPlain = false

  /** @param url Throws `failed_precondition` if it is invalid. */
  constructor(url: string) {
    this.#target = readPostgresUrl(url)
  }

  /** Whether a pooler is in between. False until the first connection. */
  get isPooled(): boolean {
    return this.#way === 'pooled'
  }

  openPool({ max, timeouts }: PoolOptions): Pool {
    const { statementMs, lockMs } = timeouts
    const usual = [statementMs, lockMs, idleTransactionMs]
    const wanted = Object.fromEntries(
      timeoutParameters.map((name, index) => [name, this.#target.timeouts[name] ?? usual[index]!]),
    )
    const longestMs = wanted.statement_timeout!
    const connections = this
    class Connection extends TransactionClient {
      constructor(config: ClientConfig) {
        super(connections.#configure(config, wanted), connections.isPooled ? setTimeouts(wanted) : null)
        connections.#open.add(this)
        this.once('end', () => connections.#open.delete(this))
      }
    }
    const pool = new Pool({
      Client: Connection as unknown as new () => ClientBase,
      max,
      application_name: 'millrace',
      connectionTimeoutMillis: connectTimeoutMs,
      // For a server that no longer responds. 0 means no limit, for this and for the statement timeout.
      query_timeout: longestMs === 0 ? 0 : longestMs + connectTimeoutMs,
      keepAlive: true,
      onConnect: (client) => this.#prepareSession(client, longestMs),
    })
    // An idle connection that breaks is replaced on next use; without these listeners its error would end the process.
    pool.on('error', () => {})
    pool.on('connect', (client) => client.on('error', () => {}))
    return pool
  }

  /** Does the work, and again if its failure shows how connections must be made. */
  async attempt<T>(work: () => Promise<T>): Promise<T> {
    const [wasPooled, wasPlain] = [this.isPooled, this.#isPlain]
    try {
      return await work()
    } catch (thrown) {
      const needsPooled = isRefusedParameter(thrown, timeoutParameters)
      const needsPlain = this.#target.isTlsOptional && hasNoTls(thrown)
      if (needsPooled) this.#way = 'pooled'
      if (needsPlain) this.#isPlain = true
      // Connecting has failed, so nothing was done. Calls that fail at the same time are all repeated.
      if ((needsPooled && !wasPooled) || (needsPlain && !wasPlain)) return await this.attempt(work)
      throw thrown
    }
  }

  /** Cuts all connections: their queries fail. */
  destroy(): void {
    for (const client of this.#open) (client as unknown as WithSocket).connection.stream.destroy()
  }

  async #prepareSession(client: ClientBase, statementMs: number): Promise<void> {
    if (this.#way === 'unknown') {
      const { rows } = await client.query<{ statementMs: number }>(this.#showTimeout)
      // A pooler can be configured to ignore start parameters.
      this.#way = rows[0]!.statementMs === statementMs ? 'direct' : 'pooled'
    }
    // Settings of a session behind a pooler would reach other programs.
    if (this.#way === 'direct') await client.query(this.#sessionSettings, [String(statementMs * 2)])
  }

  #configure(config: ClientConfig, timeouts: Readonly<Record<string, number>>): ClientConfig {
    const { url, isTlsOptional } = this.#target
    return {
      ...config,
      connectionString: url,
      ...(this.isPooled ? {} : timeouts),
      // Without a required TLS mode there is no certificate to trust, so none is checked.
      ...(isTlsOptional && !this.#isPlain ? { ssl: { rejectUnauthorized: false } } : {}),
    }
  }
}

function hasNoTls(error: unknown): boolean {
  return error instanceof Error && error.message === 'The server does not support SSL connections'
}

interface WithSocket {
  readonly connection: { readonly stream: { destroy(): void } }
}

function setTimeouts(timeouts: Readonly<Record<string, number>>): string {
  return Object.entries(timeouts)
    .map(([name, ms]) => `SET LOCAL ${name} = ${ms};`)
    .join(' ')
}
