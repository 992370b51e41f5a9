// One table of the log's books (books.ts), read and written row by row with the checksum of log-rows.ts.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { LogDamage } from './log-damage.ts'
import { type ColumnValue, rowChecksum, textColumns } from './log-rows.ts'
import { correctRow } from './row-correction.ts'
import { sqlFile } from './sql-file.ts'

export interface BookTableOptions<Row> {
  readonly database: DatabaseSync
  /** The database file, for messages. */
  readonly path: string
  readonly name: string
  /** The statement files: `save` takes the columns and the checksum, `load` returns them under the same names. */
  readonly save: string
  readonly load: string
  readonly columns: readonly (keyof Row & string)[]
}

export class BookTable<Row extends { readonly [K in keyof Row]: ColumnValue }> {
  readonly #options: BookTableOptions<Row>
  #saving: StatementSync | null = null
  #loading: StatementSync | null = null

  constructor(options: BookTableOptions<Row>) {
    this.#options = options
  }

  get #save(): StatementSync {
    this.#saving ??= this.#options.database.prepare(sqlFile(this.#options.save))
    return this.#saving
  }

  get #load(): StatementSync {
    this.#loading ??= this.#options.database.prepare(sqlFile(this.#options.load))
    return this.#loading
  }

  save(row: Row): void {
    const values = this.#options.columns.map((column): ColumnValue => row[column])
    this.#save.run(...values, rowChecksum(this.#options.name, values))
  }

  /** All rows, in the order of the statement. Throws LogDamage when a row does not match its checksum. */
  load(): Row[] {
    return this.#rows().map((row) => {
      if (!this.#isSound(row)) {
        const key = String(row[this.#options.columns[0]!])
        throw new LogDamage(
          this.#options.path,
          `every row of table ${this.#options.name} to match its checksum`,
          `a row that does not match (its ${this.#options.columns[0]} is ${key})`,
        )
      }
      return row
    })
  }

  /** The rows that match their checksum, as stored or after one flipped bit is corrected. */
  salvage(): Row[] {
    const { name, columns } = this.#options
    return this.#rows().flatMap((row) => {
      const values = correctRow(
        name,
        columns.map((column): ColumnValue => row[column]),
        row.crc,
      )
      if (values === null) return []
      return [Object.fromEntries(columns.map((column, index) => [column, values[index]])) as unknown as Row]
    })
  }

  #rows(): (Row & { crc: number })[] {
    try {
      return this.#load.all().map((row) => this.#typed(row as Record<string, ColumnValue>))
    } catch (thrown) {
      // A flipped high bit gives an integer above 2^53, which node:sqlite refuses to read.
      if ((thrown as { code?: unknown }).code !== 'ERR_OUT_OF_RANGE') throw thrown
      throw new LogDamage(this.#options.path, `numbers below 2^53 in table ${this.#options.name}`, 'a larger number')
    }
  }

  /** A flipped bit can change the type of a value and leave its digits, which the checksum does not show. */
  #typed(row: Record<string, ColumnValue>): Row & { crc: number } {
    for (const column of this.#options.columns) {
      const value = row[column]!
      if (value instanceof Uint8Array || (typeof value === 'string') === textColumns.has(column)) continue
      row[column] = typeof value === 'string' ? Number(value) : String(value)
    }
    return row as unknown as Row & { crc: number }
  }

  #isSound(row: Row & { crc: number }): boolean {
    const values = this.#options.columns.map((column): ColumnValue => row[column])
    return row.crc === rowChecksum(this.#options.name, values)
  }
}
