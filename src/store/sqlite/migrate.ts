// Brings a database to this version's tables by numbered files, each applied once.
//
// A migration and its record are one transaction: killed half-way, it has not happened, and the next start runs it again.
// Not its job: locking out a second server (log.db does that before this file is touched).

import { createHash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { MillraceError } from '../../errors.ts'
import { readSql } from './sql-file.ts'

export interface Migration {
  readonly number: number
  readonly name: string
  readonly sql: string
  /** SHA-256 of the file, in hex. An applied file must never change: databases made by either text would differ. */
  readonly checksum: string
}

interface AppliedMigration {
  readonly number: number
  readonly name: string
  readonly checksum: string
}

const fileNamePattern = /^(\d{4})-([a-z0-9-]+)\.sql$/

/** Migrations from files that are named and numbered 0001-name.sql, 0002-name.sql … without a gap. */
export function parseMigrations(files: readonly { readonly file: string; readonly sql: string }[]): Migration[] {
  return files.map(({ file, sql }, index) => {
    const [, digits, name] = fileNamePattern.exec(file) ?? []
    if (digits === undefined || name === undefined || Number(digits) !== index + 1) {
      throw new MillraceError('internal', `migration ${index + 1} is missing: ${file} stands in its place`)
    }
    return { number: index + 1, name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
  })
}

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

function refuseUnknown(applied: readonly AppliedMigration[], known: readonly Migration[], path: string): void {
  const last = applied.at(-1)
  if (last !== undefined && last.number > known.length) {
    throw new MillraceError(
      'failed_precondition',
      `${path} is at schema version ${last.number} (${last.name}); this version of Millrace knows ${known.length}: ` +
        'start the newer version that made it',
    )
  }
  for (const { number, name, checksum } of applied) {
    const ours = known[number - 1]!
    if (ours.checksum === checksum) continue
    throw new MillraceError(
      'failed_precondition',
      `${path} was made with another migration ${number}: applied was ${name} (${checksum.slice(0, 12)}), here is ` +
        `${ours.name} (${ours.checksum.slice(0, 12)}): start the version that made it, or put the released file back`,
    )
  }
}
