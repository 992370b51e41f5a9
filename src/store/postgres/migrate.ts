// Applies the migrations that a database is missing.
//
// All missing migrations are one transaction under an advisory lock that every Millrace process takes: if it is killed,
// nothing is applied; if two processes run it at once, the second finds nothing to do.

import type { ClientBase } from 'pg'
import { MillraceError } from '../../errors.ts'
import { type AppliedMigration, type Migration, parseMigrations, refuseUnknown } from '../migrations.ts'
import { readMigrationFiles, readSql } from './sql-file.ts'
import { sqlStateOf } from './sqlstate.ts'

/** "mlrs": the key of the advisory lock. */
const lockKey = 0x6d6c7273

const undefinedTable = '42P01'
const insufficientPrivilege = '42501'

/**
 * Applies the missing migrations and returns their numbers. Throws `failed_precondition`, with nothing changed, if a
 * newer version has migrated the database, if an applied migration differs from the one of this version, or if the role
 * may not create tables.
 */
export async function migrate(
  client: ClientBase,
  migrations: readonly Migration[] = parseMigrations(readMigrationFiles()),
): Promise<number[]> {
  if (missingOf(await appliedMigrations(client), migrations).length === 0) return []
  await client.query('BEGIN')
  try {
    await client.query('SELECT pg_advisory_xact_lock($1)', [lockKey])
    await client.query(readSql('create-migrations'))
    const missing = missingOf(await appliedMigrations(client), migrations)
    for (const { number, name, sql, checksum } of missing) {
      await client.query(sql)
      await client.query(readSql('record-migration'), [number, name, checksum])
    }
    await client.query('COMMIT')
    return missing.map(({ number }) => number)
  } catch (thrown) {
    await client.query('ROLLBACK').catch(() => {})
    throw sqlStateOf(thrown) === insufficientPrivilege ? missingPrivilege(thrown as Error) : thrown
  }
}

function missingOf(applied: readonly AppliedMigration[], migrations: readonly Migration[]): readonly Migration[] {
  refuseUnknown(applied, migrations, 'the postgres database')
  return migrations.slice(applied.length)
}

async function appliedMigrations(client: ClientBase): Promise<AppliedMigration[]> {
  try {
    return (await client.query<AppliedMigration>(readSql('list-migrations'))).rows
  } catch (thrown) {
    if (sqlStateOf(thrown) === undefinedTable) return []
    throw thrown
  }
}

function missingPrivilege(cause: Error): MillraceError {
  return new MillraceError(
    'failed_precondition',
    `the role may not create Millrace's tables (${cause.message}): run "millrace migrate" with a role that may, or grant it CREATE on the schema`,
    { cause },
  )
}
