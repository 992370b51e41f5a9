// Applies the migrations that a database is missing.
//
// A migration and its record are one transaction: if it is killed, nothing is applied and the next start runs it again.
// Not its job: locking out a second server (the lock on log.db does that before this file is opened).

import type { DatabaseSync } from 'node:sqlite'
import { type AppliedMigration, type Migration, refuseUnknown } from '../migrations.ts'
import { readSql } from './sql-file.ts'

/**
 * Applies the missing migrations. Throws `failed_precondition`, with nothing changed, if a newer version has migrated
 * the database, or if an applied migration differs from the one of this version.
 * @param path the file, for the error message.
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
