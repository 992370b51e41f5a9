// The table of dead letters. Every method rejects with the driver's error.

import type { Pool } from 'pg'
import {
  type DeadLetterCause,
  type DeadLetterFilter,
  type DeadLetterSummary,
  maxDeadLetterCauses,
} from '../../pipeline/dead-letters.ts'
import { type DeadLetter, parseHistory, type StoredDeadLetterQuery } from '../dead-letter.ts'
import type { StorableDeadLetter } from '../dead-letter-page.ts'
import { maxPageBytes, type RefusedRow } from '../event-store.ts'
import type { PagePlace } from '../page-cursor.ts'
import { inTransaction } from './list-events.ts'
import { placeParameters } from './place-parameters.ts'
import { readSql } from './sql-file.ts'
import { type FailureKinds, rowSkipped, sqlStateOf } from './sqlstate.ts'

/** A row as node-postgres returns it: bigint columns are strings. */
type SummaryRow = Omit<DeadLetterSummary, 'firstFailedAtMicros' | 'deadAtMicros' | 'redrivenAtMicros' | 'history'> & {
  readonly firstFailedAtMicros: string
  readonly deadAtMicros: string
  readonly redrivenAtMicros: string | null
  readonly history: string
}

type CauseRow = Omit<DeadLetterCause, 'firstDeadAtMicros' | 'lastDeadAtMicros'> & {
  readonly firstDeadAtMicros: string
  readonly lastDeadAtMicros: string
}

export class DeadLetterTable {
  readonly #landing: Pool
  readonly #reading: Pool
  readonly #failures: FailureKinds
  readonly #begin = readSql('begin-dead-letters')
  readonly #filter = readSql('dead-letter-filter')
  readonly #insert = readSql('insert-dead-letter')
  readonly #list = this.#filtered('list-dead-letters')
  readonly #listOldest = this.#filtered('list-oldest-dead-letters')
  readonly #read = readSql('read-dead-letters')
  readonly #count = this.#filtered('count-dead-letters')
  readonly #group = this.#filtered('group-dead-letters')
  readonly #noteRedriven = readSql('note-redriven')
  readonly #delete = readSql('delete-dead-letters')

  /** @param failures what the server's errors mean. */
  constructor(landing: Pool, reading: Pool, failures: FailureKinds) {
    this.#landing = landing
    this.#reading = reading
    this.#failures = failures
  }

  /**
   * Each letter is a transaction of its own; a retry after a failure skips the ones that were stored. Returns those that
   * the server rejects.
   */
  async land(letters: readonly StorableDeadLetter[]): Promise<RefusedRow[]> {
    const refused: RefusedRow[] = []
    for (const [index, letter] of letters.entries()) {
      const refusal = await this.#landOne(letter)
      if (refusal !== null) refused.push({ index, ...refusal })
    }
    return refused
  }

  /** Returns why the server rejects the letter. That it is retried alone loses nothing, so unlisted codes count too. */
  async #landOne(letter: StorableDeadLetter): Promise<Omit<RefusedRow, 'index'> | null> {
    try {
      const { rowCount } = await this.#landing.query(this.#insert, columnsOf(letter))
      if (rowCount === 1) return null
    } catch (thrown) {
      if (!['row', 'taken', 'unlisted'].includes(this.#failures.kindOf(thrown))) throw thrown
      return { databaseCode: sqlStateOf(thrown)!, message: (thrown as Error).message }
    }
    const [stored] = await this.read([letter.deadLetterId])
    return stored !== undefined && stored.deadAtMicros >= letter.deadAtMicros ? null : rowSkipped
  }

  /** @param start the letters after this place are listed, in the requested order. */
  async list(query: StoredDeadLetterQuery, start: PagePlace, limit: number): Promise<DeadLetterSummary[]> {
    const parameters = [...conditionsOf(query), ...placeParameters(start), limit]
    const statement = query.isOldestFirst === true ? this.#listOldest : this.#list
    const { rows } = await inTransaction(this.#reading, this.#begin, (client) =>
      client.query<SummaryRow>(statement, parameters),
    )
    return rows.map(toSummary)
  }

  async read(deadLetterIds: readonly string[]): Promise<DeadLetter[]> {
    const parameters = [deadLetterIds, maxPageBytes]
    const { rows } = await this.#reading.query<SummaryRow & { event: Buffer }>(this.#read, parameters)
    return rows.map((row) => ({ ...toSummary(row), event: row.event }))
  }

  async count(filter: DeadLetterFilter): Promise<number> {
    const { rows } = await this.#reading.query<{ deadLetters: number }>(this.#count, conditionsOf(filter))
    return rows[0]!.deadLetters
  }

  async group(filter: DeadLetterFilter): Promise<DeadLetterCause[]> {
    const parameters = [...conditionsOf(filter), maxDeadLetterCauses]
    const { rows } = await this.#reading.query<CauseRow>(this.#group, parameters)
    return rows.map((row) => ({
      ...row,
      firstDeadAtMicros: Number(row.firstDeadAtMicros),
      lastDeadAtMicros: Number(row.lastDeadAtMicros),
    }))
  }

  async noteRedriven(deadLetterIds: readonly string[], atMicros: number): Promise<void> {
    await this.#landing.query(this.#noteRedriven, [deadLetterIds, atMicros])
  }

  async delete(deadLetterIds: readonly string[]): Promise<number> {
    return (await this.#landing.query(this.#delete, [deadLetterIds])).rowCount ?? 0
  }

  #filtered(name: string): string {
    return readSql(name).replace('{filter}', () => this.#filter)
  }
}

/** In the order of insert-dead-letter.sql. */
function columnsOf(letter: StorableDeadLetter): unknown[] {
  return [
    letter.deadLetterId,
    letter.eventId,
    letter.topic,
    letter.group,
    letter.type,
    letter.source,
    letter.code,
    letter.message,
    letter.attempts,
    letter.firstFailedAtMicros,
    letter.deadAtMicros,
    letter.event,
    letter.historyJson,
    letter.redrivenAtMicros,
    letter.redrives,
  ]
}

/** In the order of dead-letter-filter.sql. */
function conditionsOf(filter: Partial<StoredDeadLetterQuery>): unknown[] {
  const { deadLetterIds, eventIds, topic, group, type, code, sinceMicros, untilMicros, isRedriven } = filter
  return [deadLetterIds, eventIds, topic, group, type, code, sinceMicros, untilMicros, isRedriven].map(
    (value) => value ?? null,
  )
}

function toSummary(row: SummaryRow): DeadLetterSummary {
  return {
    ...row,
    firstFailedAtMicros: Number(row.firstFailedAtMicros),
    deadAtMicros: Number(row.deadAtMicros),
    redrivenAtMicros: row.redrivenAtMicros === null ? null : Number(row.redrivenAtMicros),
    history: parseHistory(row.history),
  }
}
