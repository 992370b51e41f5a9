// Brings a database to this version's tables by numbered files, each applied once.
//
// A migration and its record are one transaction: killed half-way, it has not happened, and the next start runs it again.
// Not its job: locking out a second server (log.db does that before this file is touched).

import type { DatabaseSync } from 'node:sqlite'
import { type AppliedMigration, type Migration, refuseUnknown } from '../migrations.ts'
import { readSql } from './sql-file.ts'

/**
 * Applies what is missing. Throws `failed_precondition`, with nothing changed, when a newer version has been at this
 * database, or when one of its migrations was another text than ours.
 * @param path the file, for the message.
 */
export function migrate(
  database: DatabaseSync,
  migrations: readonly Migration[],
  path: string,
  now: () => number,
): void {
  const applied = appliedMigrations(database)
  refuseUnknown(applied, migrations, path)
  for (const migration of migrations) {
    if (applied.some(({ number }) => number === migration.number)) continue
    database.exec('BEGIN IMMEDIATE')
    try {
      database.exec(readSql('create-migrations'))
      database.exec(migration.sql)
      database
        .prepare(readSql('record-migration'))
        .run(migration.number, migration.name, migration.checksum, now() * 1000)
      database.exec('COMMIT')
    } catch (thrown) {
      if (database.isTransaction) database.exec('ROLLBACK')
      throw thrown
    }
  }
}

function appliedMigrations(database: DatabaseSync): AppliedMigration[] {
  const hasTable = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'").get()
  if (hasTable === undefined) return []
  return database.prepare(readSql('list-migrations')).all() as unknown as AppliedMigration[]
}
