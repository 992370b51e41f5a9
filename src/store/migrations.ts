// Migrations: numbered SQL files that bring the tables to this version, each applied once. Shared by all store drivers.

import { createHash } from 'node:crypto'
import { MillraceError } from '../errors.ts'

export interface Migration {
  readonly number: number
  readonly name: string
  readonly sql: string
  /** SHA-256 of the file, in hex. An applied file must never change: databases of the two texts would differ. */
  readonly checksum: string
}

export type AppliedMigration = Omit<Migration, 'sql'>

const fileNamePattern = /^(\d{4})-([a-z0-9-]+)\.sql$/

/** Parses files that are named NNNN-name and numbered from 0001 without a gap. Throws `internal` for a gap. */
export function parseMigrations(files: readonly { readonly file: string; readonly sql: string }[]): Migration[] {
  return files.map(({ file, sql }, index) => {
    const [, digits, name] = fileNamePattern.exec(file) ?? []
    if (digits === undefined || name === undefined || Number(digits) !== index + 1) {
      throw new MillraceError('internal', `migration ${index + 1} is missing: found ${file} in its place`)
    }
    return { number: index + 1, name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
  })
}

/**
 * Throws `failed_precondition` if a newer version has migrated the database, or if an applied migration differs from
 * the one of this version.
 * @param database its name, for the error message.
 */
export function refuseUnknown(
  applied: readonly AppliedMigration[],
  known: readonly Migration[],
  database: string,
): void {
  const last = applied.at(-1)
  if (last !== undefined && last.number > known.length) {
    throw new MillraceError(
      'failed_precondition',
      `${database} is at schema version ${last.number} (${last.name}); this version of Millrace knows ` +
        `${known.length}: start the newer version that migrated it`,
    )
  }
  for (const { number, name, checksum } of applied) {
    const ours = known[number - 1]!
    if (ours.checksum === checksum) continue
    throw new MillraceError(
      'failed_precondition',
      `${database} has another migration ${number}: applied is ${name} (${checksum.slice(0, 12)}), this version has ` +
        `${ours.name} (${ours.checksum.slice(0, 12)}): start the version that applied it, or restore the released file`,
    )
  }
}
