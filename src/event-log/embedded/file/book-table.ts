// One table of the log's books (books.ts). Each row has a CRC-32 of its values, which is verified whenever it is read:
// a database page has no checksum, and of 300 flipped bits in such rows 223 changed values without an error.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import { LogDamage } from './log-damage.ts'

export type ColumnValue = number | string | Uint8Array

export interface BookTableOptions<Row> {
  readonly database: DatabaseSync
  /** The database file, for messages. */
  readonly path: string
  readonly name: string
  /** The fields of a row in the order of the columns, the key first. A column has the field's name in snake case. */
  readonly fields: readonly (keyof Row & string)[]
  /** How many of the fields are the key. */
  readonly keyFields: number
  /** The fields with texts; the others have numbers, or bytes. */
  readonly texts?: readonly (keyof Row & string)[]
}

export class BookTable<Row extends { [K in keyof Row]: ColumnValue }> {
  readonly #options: BookTableOptions<Row>
  readonly #texts: ReadonlySet<string>
  readonly #columns: string
  readonly #keyColumns: string
  /** The condition of one row. */
  readonly #ofKey: string
  readonly #statements = new Map<string, StatementSync>()

  constructor(options: BookTableOptions<Row>) {
    this.#options = options
    this.#texts = new Set(options.texts)
    const key = options.fields.slice(0, options.keyFields).map(columnOf)
    this.#keyColumns = key.join(', ')
    this.#ofKey = `WHERE ${key.map((column) => `${column} = ?`).join(' AND ')}`
    this.#columns = options.fields.map(columnOf).join(', ')
  }

  get(...key: readonly (number | string)[]): Row | undefined {
    return this.select(this.#ofKey, ...key)[0]
  }

  /** All rows in the order of the key. */
  load(): Row[] {
    return this.select(`ORDER BY ${this.#keyColumns}`)
  }

  /** The rows of a condition, which is appended to the SELECT. Throws LogDamage for a row that is not sound. */
  select(condition: string, ...parameters: readonly (number | string)[]): Row[] {
    const rows = this.#read(condition, parameters)
    for (const row of rows) if (!this.#isSound(row)) throw this.#damage(row)
    return rows
  }

  /** The sound rows of a condition in the order of the key; those that cannot be read are left out. */
  loadReadable(condition = 'true', ...parameters: readonly number[]): Row[] {
    try {
      return this.#read(`WHERE ${condition} ORDER BY ${this.#keyColumns}`, parameters).filter((row) =>
        this.#isSound(row),
      )
    } catch {
      // A page of the table cannot be read.
      return []
    }
  }

  /** All rows that can be read, whether they match their checksum or not. */
  loadUnchecked(): Row[] {
    try {
      return this.#read('', [])
    } catch {
      return []
    }
  }

  /** All rows one after the other, null for one that is not sound. Throws where one cannot be read. */
  *walk(): Generator<Row | null> {
    try {
      for (const read of this.#statement('').iterate()) {
        const row = this.#rowOf(read as unknown as readonly ColumnValue[])
        yield this.#isSound(row) ? row : null
      }
    } catch (thrown) {
      throw this.#named(thrown)
    }
  }

  /** Adds a row or replaces the one with its key. */
  save(row: Row): void {
    const values = this.#valuesOf(row)
    const { name, fields } = this.#options
    const marks = () => fields.map(() => '?').join(', ')
    const statement = this.#prepare('save', () => `INSERT OR REPLACE INTO ${name} VALUES (${marks()}, ?)`)
    statement.run(...values, rowChecksum(name, values))
  }

  /** Returns whether there was such a row. */
  remove(...key: readonly (number | string)[]): boolean {
    return this.#prepare('remove', () => `DELETE FROM ${this.#options.name} ${this.#ofKey}`).run(...key).changes > 0
  }

  /** Removes the rows of a condition and returns their number. */
  removeWhere(condition: string, ...parameters: readonly (number | string)[]): number {
    const sql = `DELETE FROM ${this.#options.name} WHERE ${condition}`
    return Number(this.#prepare(sql, () => sql).run(...parameters).changes)
  }

  /** Removes up to `maxRows` rows of a condition and returns their number. */
  removeSome(condition: string, maxRows: number, ...parameters: readonly number[]): number {
    const key = this.#keyColumns
    const some = `SELECT ${key} FROM ${this.#options.name} WHERE ${condition} LIMIT ?`
    return this.removeWhere(`(${key}) IN (${some})`, ...parameters, maxRows)
  }

  /** Counts the rows of a condition. */
  count(condition: string, ...parameters: readonly (number | string)[]): number {
    const sql = `SELECT count(*) AS rows FROM ${this.#options.name} WHERE ${condition}`
    return Number(this.#prepare(sql, () => sql).get(...parameters)!.rows)
  }

  /**
   * @param key identifies the statement; a text that is built for each call would cost as much as the statement.
   * @param givesArrays rows as objects would take a third longer, and longer again wherever a field of theirs is used.
   */
  #prepare(key: string, sql: () => string, givesArrays = false): StatementSync {
    let statement = this.#statements.get(key)
    if (statement === undefined) {
      statement = this.#options.database.prepare(sql())
      statement.setReturnArrays(givesArrays)
      this.#statements.set(key, statement)
    }
    return statement
  }

  #statement(condition: string): StatementSync {
    return this.#prepare(condition, () => `SELECT ${this.#columns}, crc FROM ${this.#options.name} ${condition}`, true)
  }

  #read(condition: string, parameters: readonly (number | string)[]): (Row & { crc: number })[] {
    const statement = this.#statement(condition)
    try {
      return statement.all(...parameters).map((values) => this.#rowOf(values as unknown as readonly ColumnValue[]))
    } catch (thrown) {
      throw this.#named(thrown)
    }
  }

  #named(thrown: unknown): unknown {
    // A flipped high bit gives an integer above 2^53, which node:sqlite refuses to read.
    if ((thrown as { code?: unknown }).code !== 'ERR_OUT_OF_RANGE') return thrown
    const { name, path } = this.#options
    return new LogDamage(path, `numbers below 2^53 in table ${name}`, 'a larger number')
  }

  /** @param values the fields, then the checksum. */
  #rowOf(values: readonly ColumnValue[]): Row & { crc: number } {
    const { fields } = this.#options
    const row: Record<string, ColumnValue> = {}
    for (const [index, field] of fields.entries()) {
      const value = values[index]!
      // A flipped bit can change the type of a value and leave its digits, which the checksum does not show.
      const isTyped = value instanceof Uint8Array || (typeof value === 'string') === this.#texts.has(field)
      row[field] = isTyped ? value : typeof value === 'string' ? Number(value) : String(value)
    }
    row.crc = values[fields.length]!
    return row as unknown as Row & { crc: number }
  }

  #valuesOf(row: Row): ColumnValue[] {
    return this.#options.fields.map((field): ColumnValue => row[field])
  }

  #isSound(row: Row & { crc: number }): boolean {
    return row.crc === rowChecksum(this.#options.name, this.#valuesOf(row))
  }

  #damage(row: Row): LogDamage {
    const { path, name, fields } = this.#options
    const found = `a row that does not match (its ${fields[0]} is ${row[fields[0]!]})`
    return new LogDamage(path, `every row of table ${name} to match its checksum`, found)
  }
}

/** settledBelow → settled_below */
function columnOf(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** The CRC-32 of a row of this table with these values. It does not cover their types: 1 and '1' have the same. */
function rowChecksum(table: string, values: readonly ColumnValue[]): number {
  let text = table
  for (const value of values) text += `\0${value instanceof Uint8Array ? crc32(value) : value}`
  return crc32(text)
}
