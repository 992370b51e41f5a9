// Checks what the database must be like, so that no landed event is lost and none has two rows.

import type { ClientBase, Pool } from 'pg'
import { MillraceError } from '../../errors.ts'
import { readSql } from './sql-file.ts'

export interface DatabaseFacts {
  readonly synchronousCommit: string
  readonly fsync: string
  /** Null if there is no table `events`. */
  readonly isPartitioned: boolean | null
  /** Those of our tables that a crash of the server empties. */
  readonly unloggedTables: readonly string[]
  /** Whether each event_id can have only one row. */
  readonly hasKey: boolean
  /** The constraint's name. Null if there is none. */
  readonly primaryKey: string | null
  /** The statement that lets the role create temporary tables; null if it may. */
  readonly missingGrant: string | null
}

export class DatabaseCheck {
  readonly #statement = readSql('check-database')

  /** Rejects with the driver's error. */
  async read(connection: ClientBase | Pool): Promise<DatabaseFacts> {
    return (await connection.query<DatabaseFacts>(this.#statement)).rows[0]!
  }
}

/** Landed events are settled and may be gone from the log: a crash before the flush of a COMMIT would lose them. */
export function refuseWeakerCommits({ synchronousCommit }: DatabaseFacts): void {
  if (synchronousCommit !== 'off') return
  throw new MillraceError(
    'failed_precondition',
    'synchronous_commit is off for this role or database, so a crash of postgres would lose landed rows: set it to on',
  )
}

/** Why no event may land; null if nothing is wrong. */
export function problemOf({ hasKey, isPartitioned, primaryKey, missingGrant }: DatabaseFacts): string | null {
  if (isPartitioned === null) return 'postgres refuses: 42P01: there is no table events; restore it from a backup'
  if (!hasKey) {
    const fault =
      primaryKey === null
        ? 'events has no primary key event_id'
        : `the primary key ${primaryKey} of events is deferrable or has other columns than event_id`
    const replaced = primaryKey === null ? '' : `DROP CONSTRAINT ${primaryKey}, `
    const cure = isPartitioned
      ? 'it is partitioned by another column; use a table that is not, or is partitioned by event_id'
      : `delete the rows that are there twice, then run "ALTER TABLE events ${replaced}ADD PRIMARY KEY (event_id)"`
    return `postgres refuses: ${fault}, so an event could get two rows; ${cure}`
  }
  if (missingGrant === null) return null
  return `postgres refuses: the role may not create the temporary table for rows that may exist: run "${missingGrant}"`
}

/** What an operator should know about a database in which events land. */
export function warningsOf(
  { fsync, isPartitioned, unloggedTables, hasKey }: DatabaseFacts,
  isPooled: boolean,
): string[] {
  return [
    ...(fsync === 'off'
      ? ['fsync is off: a power loss or a crash of its host can lose landed rows; set it to on']
      : []),
    ...unloggedTables.map(
      (table) => `the table ${table} is UNLOGGED, so a crash of postgres empties it: ALTER TABLE ${table} SET LOGGED`,
    ),
    ...(isPartitioned === true && hasKey
      ? ['the table events is partitioned: listing events reads more of it than its end']
      : []),
    ...(isPooled
      ? ['a connection pooler is in between: each transaction sets its timeouts, and no keepalive is set']
      : []),
  ]
}

interface FoundRule {
  readonly table: string
  readonly rule: string
}

/** Any text of an event is UTF-8: another encoding cannot hold all of it, and SQL_ASCII does not know what it holds. */
export async function refuseOtherEncodings(client: ClientBase): Promise<void> {
  const [found] = (await client.query<{ server_encoding: string }>('SHOW server_encoding')).rows
  const encoding = found?.server_encoding
  if (encoding === 'UTF8') return
  throw new MillraceError(
    'failed_precondition',
    `the database has the encoding ${encoding}, and events are UTF-8: create one with ENCODING 'UTF8' TEMPLATE template0`,
  )
}

/** COPY ignores rules, and they change what an INSERT does, so an event could count as landed without a row. */
export async function refuseRules(client: ClientBase): Promise<void> {
  const [found] = (await client.query<FoundRule>(readSql('find-rules'))).rows
  if (found === undefined) return
  const fix = `DROP RULE ${found.rule} ON ${found.table}, and use a trigger instead`
  throw new MillraceError(
    'failed_precondition',
    `the table ${found.table} has the rule ${found.rule}, which changes or hides what Millrace inserts: ${fix}`,
  )
}
