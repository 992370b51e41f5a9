// Numbered SQL files that bring a database to this version's tables, each applied once. What every store has in common.

import { createHash } from 'node:crypto'
import { MillraceError } from '../errors.ts'

export interface Migration {
  readonly number: number
  readonly name: string
  readonly sql: string
  /** SHA-256 of the file, in hex. An applied file must never change: databases made by either text would differ. */
  readonly checksum: string
}

export type AppliedMigration = Omit<Migration, 'sql'>

const fileNamePattern = /^(\d{4})-([a-z0-9-]+)\.sql$/

/** Migrations from files that are named and numbered NNNN-name, from 0001 on without a gap. */
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
 * Throws `failed_precondition` when a newer version has been at a database, or when one of its migrations was another text
 * than ours.
 * @param database its name, for the message.
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
      `${database} is at schema version ${last.number} (${last.name}); this version of Millrace knows ${known.length}: ` +
        'start the newer version that made it',
    )
  }
  for (const { number, name, checksum } of applied) {
    const ours = known[number - 1]!
    if (ours.checksum === checksum) continue
    throw new MillraceError(
      'failed_precondition',
      `${database} was made with another migration ${number}: applied was ${name} (${checksum.slice(0, 12)}), here is ` +
        `${ours.name} (${ours.checksum.slice(0, 12)}): start the version that made it, or put the released file back`,
    )
  }
}
