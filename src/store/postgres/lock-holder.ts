// Names the session whose lock a statement has waited for, so that a lock is not mistaken for a slow or absent server.

import type { Pool } from 'pg'
import { withinMs } from '../../lib/abort.ts'
import { readSql } from './sql-file.ts'
import { isSilence, sqlStateOf } from './sqlstate.ts'

interface HolderRow {
  readonly pid: number
  readonly role: string | null
  readonly application: string | null
  readonly mode: string
  readonly table: string
  readonly isOnTable: boolean
  readonly seconds: number | null
}

/** A server that is silent for another reason than a lock answers no query either. */
const maxLookupMs = 1000

const lockTimeout = '55P03'
const statementTimeout = '57014'

export class LockHolders {
  readonly #pool: Pool
  readonly #find = readSql('find-lock-holder')

  constructor(pool: Pool) {
    this.#pool = pool
  }

  /**
   * The session that holds the lock, as a text. Null if the failure was not a timeout, or if no holder is found, because
   * it may just have released the lock.
   */
  async holderAfter(failure: unknown): Promise<string | null> {
    const code = sqlStateOf(failure)
    if (code !== lockTimeout && code !== statementTimeout && !isSilence(failure)) return null
    const found = this.#pool.query<HolderRow>(this.#find).catch(() => null)
    const row = (await withinMs(found, maxLookupMs, null))?.rows[0]
    // A statement may be slow for another reason while someone else writes rows.
    return row !== undefined && (row.isOnTable || code === lockTimeout) ? describe(row) : null
  }
}

function describe({ pid, role, application, mode, table, seconds }: HolderRow): string {
  const program = application ? ` (${application})` : ''
  const duration = seconds === null ? '' : ` for ${seconds} s`
  return `session ${pid} of role ${role ?? 'unknown'}${program} has held ${mode} on ${table}${duration}`
}
