// Executes one transaction of the log: everything in a CommitRequest, or nothing.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Books } from './books.ts'
import type { EntryTable } from './entry-table.ts'
import { sqlFile } from './sql-file.ts'
import type { CommitRequest, TrimStepReply } from './thread-protocol.ts'
import { EntryTrimmer } from './trim-entries.ts'

/** Everything stored for a group. Entries come before the streams, which are needed to find them. */
const partsOfGroup = [
  'own-entries',
  'own-streams',
  'attempts',
  'settled-ranges',
  'cursors',
  'ledgers',
  'pause',
  'group',
] as const

export class CommitTransaction {
  readonly #database: DatabaseSync
  readonly #books: Books
  readonly #entries: EntryTable
  readonly #trimmer: EntryTrimmer
  readonly #removeRange: StatementSync
  readonly #removeAttempt: StatementSync
  readonly #removeProducer: StatementSync
  readonly #endPause: StatementSync
  readonly #dropGroup: readonly StatementSync[]

  constructor(database: DatabaseSync, books: Books, entries: EntryTable) {
    this.#database = database
    this.#books = books
    this.#entries = entries
    this.#trimmer = new EntryTrimmer(database)
    this.#removeRange = database.prepare(sqlFile('remove-settled-range'))
    this.#removeAttempt = database.prepare(sqlFile('remove-attempt'))
    this.#removeProducer = database.prepare(sqlFile('remove-producer'))
    this.#endPause = database.prepare(sqlFile('drop-pause'))
    this.#dropGroup = partsOfGroup.map((part) => database.prepare(sqlFile(`drop-${part}`)))
  }

  /** Commits the request. When it throws, nothing was written. */
  run(request: CommitRequest): TrimStepReply | null {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      this.#entries.insert(request.entries, request.bytes)
      this.#saveBooks(request)
      const trimmed = request.trim === null ? null : this.#trim(request)
      this.#database.exec('COMMIT')
      return trimmed
    } catch (thrown) {
      // After "disk full" and I/O errors SQLite has already rolled back, and ROLLBACK would throw.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw thrown
    }
  }

  #saveBooks(request: CommitRequest): void {
    const books = this.#books
    if (request.log !== null) books.log.save(request.log)
    for (const row of request.topics) books.topics.save(row)
    for (const row of request.groups) books.groups.save(row)
    for (const row of request.streams) books.streams.save(row)
    for (const row of request.cursors) books.cursors.save(row)
    for (const row of request.ledgers) books.ledgers.save(row)
    // Removals first: a new range may start where a removed one started.
    for (const key of triples(request.removedRanges)) this.#removeRange.run(...key)
    for (const row of request.settledRanges) books.settledRanges.save(row)
    for (const key of triples(request.removedAttempts)) this.#removeAttempt.run(...key)
    for (const row of request.attempts) books.attempts.save(row)
    for (const row of request.producers) books.producers.save(row)
    for (const producerNumber of request.removedProducers) this.#removeProducer.run(producerNumber)
    for (const row of request.pauses) books.pauses.save(row)
    for (const groupNumber of request.endedPauses) this.#endPause.run(groupNumber)
    if (request.droppedGroup !== null) for (const part of this.#dropGroup) part.run(request.droppedGroup)
    const removed = request.removedEntries
    for (let at = 0; at < removed.length; at += 2) this.#entries.remove(removed[at]!, removed[at + 1]!)
  }

  #trim({ trim }: CommitRequest): TrimStepReply {
    const trimmed = this.#trimmer.trim(trim!)
    const { trimmedBelow, trimmedByte } = trimmed
    if (trimmed.entries > 0) this.#books.streams.save({ ...trim!.stream, trimmedBelow, trimmedByte })
    return trimmed
  }
}

function* triples(flat: readonly number[]): Generator<[number, number, number]> {
  for (let at = 0; at < flat.length; at += 3) yield [flat[at]!, flat[at + 1]!, flat[at + 2]!]
}
