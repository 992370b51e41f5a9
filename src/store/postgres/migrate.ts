// Brings a database to this version's tables by numbered files, each applied once.
//
// All that is missing is one transaction, under a lock that every process of Millrace takes: killed half-way, nothing has
// happened; run twice at once, the second finds nothing to do.

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
 * Applies what is missing, and answers the numbers of the migrations that were. Throws `failed_precondition`, with nothing
 * changed, when a newer version has been at this database, when one of its migrations was another text than ours, or when
 * the role may not make tables.
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
    throw sqlStateOf(thrown) === insufficientPrivilege ? mayNotMigrate(thrown as Error) : thrown
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

function mayNotMigrate(cause: Error): MillraceError {
  return new MillraceError(
    'failed_precondition',
    `the role may not make the tables of Millrace (${cause.message}): run "millrace migrate" with a role that may, or grant it CREATE on the schema`,
    { cause },
  )
}
