// F7: SQLite's own prepared inserts of the same rows into the same table, 8,000 per transaction, alone in its process.

import { readFileSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { uuidToBytes } from '../../src/event/event.ts'
import { runBlock } from '../block.ts'
import { storedNumbersProblems } from '../gate.ts'
import { expectedRows, idPrefix, numberStart, payload, writeDecimal } from '../messages.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface SqliteInsertsOptions {
  readonly payloadBytes: number
  /** Must divide the number of rows per transaction. */
  readonly rowsPerStatement: number
  readonly warmSeconds: number
  readonly seconds: number
}

const rowsPerTransaction = 8000
const columnCount = 16
/** The payload is bound as the bytes of its text. */
const rowPlaces = '(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?)'
const tables = new URL('../../src/store/sqlite/migrations/0001-events.sql', import.meta.url)

/** The table as the store creates it, in a database with default settings except the two that durability needs. */
function openTable(path: string): DatabaseSync {
  const database = new DatabaseSync(path)
  database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL')
  database.exec(readFileSync(tables, 'utf8'))
  return database
}

function insertFor(seconds: number, database: DatabaseSync, rows: Rows): void {
  const endMs = performance.now() + seconds * 1000
  while (performance.now() < endMs) {
    database.exec('BEGIN')
    for (const end = rows.count + rowsPerTransaction; rows.count < end; ) rows.insertNext()
    database.exec('COMMIT')
  }
}

/** Binds rows from buffers that are reused. */
class Rows {
  count = 0
  readonly #insert: StatementSync
  readonly #eventIds: Buffer[]
  readonly #payloads: Buffer[]
  readonly #values: SQLInputValue[]

  constructor(database: DatabaseSync, { payloadBytes, rowsPerStatement }: SqliteInsertsOptions) {
    const places = new Array(rowsPerStatement).fill(rowPlaces).join(', ')
    this.#insert = database.prepare(`INSERT INTO events VALUES ${places} ON CONFLICT (event_id) DO NOTHING`)
    const idStart = uuidToBytes(`${idPrefix()}000000000000`)
    this.#eventIds = Array.from({ length: rowsPerStatement }, () => Buffer.from(idStart))
    this.#payloads = Array.from({ length: rowsPerStatement }, () => payload(0, payloadBytes))
    const now = Date.now() * 1000
    this.#values = this.#eventIds.flatMap((eventId, index) => [
      ...[eventId, null, '/bench', 'bench.reading', null, now, now, 'events', 2, null],
      ...[this.#payloads[index]!, null, 'application/json', null, 1, 0],
    ])
  }

  /** Builds the rows of one statement. */
  insertNext(): void {
    for (let index = 0; index < this.#eventIds.length; index++) {
      const number = ++this.count
      this.#eventIds[index]!.writeUInt32BE(number, 12)
      writeDecimal(this.#payloads[index]!, numberStart, number)
      this.#values[index * columnCount + columnCount - 1] = number
    }
    this.#insert.run(...this.#values)
  }
}

await runBlock((options: SqliteInsertsOptions) =>
  withTempDirectory(async (directory) => {
    const database = openTable(`${directory}/store.db`)
    const rows = new Rows(database, options)
    insertFor(options.warmSeconds, database, rows)
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    const rowsBefore = rows.count
    const cpuBefore = cpuSecondsOf(process.pid)
    const startMs = performance.now()
    insertFor(options.seconds, database, rows)
    const seconds = (performance.now() - startMs) / 1000
    const serviceCpuSeconds = cpuSecondsOf(process.pid) - cpuBefore
    database.close()
    const problems = storedNumbersProblems(directory, expectedRows(rows.count))
    return { events: rows.count - rowsBefore, seconds, serviceCpuSeconds, durability: 'disk', problems, details: {} }
  }),
)
