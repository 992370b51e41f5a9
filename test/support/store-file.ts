// Reads store.db like any other reader: with SQL, read-only, while the server runs.

import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** The columns of a row that the checker uses. */
export interface StoredRow {
  /** 32 hexadecimal digits, lower case. */
  readonly eventId: string
  readonly id: string
  readonly source: string
  readonly topic: string
  readonly stream: number
  readonly logOffset: number
}

/** Runs a query on the store of a data directory. */
export function queryStore(dataDir: string, sql: string): Record<string, unknown>[] {
  const database = new DatabaseSync(join(dataDir, 'store.db'), { readOnly: true, timeout: 5000 })
  try {
    return database.prepare(sql).all()
  } finally {
    database.close()
  }
}

/** Changes the store of a data directory, as a user with write access could. */
export function changeStore(dataDir: string, sql: string): void {
  const database = new DatabaseSync(join(dataDir, 'store.db'), { timeout: 5000 })
  try {
    database.exec(sql)
  } finally {
    database.close()
  }
}

/** Every landed row. */
export function readRows(dataDir: string): StoredRow[] {
  return queryStore(
    dataDir,
    'SELECT lower(hex(event_id)) AS key, id, source, topic, stream, log_offset FROM events',
  ).map(storedRow)
}

/** `key` is the row key in hexadecimal digits. */
export function storedRow(row: Record<string, unknown>): StoredRow {
  return {
    eventId: String(row.key),
    id: row.id === null ? dashed(String(row.key)) : String(row.id),
    source: String(row.source),
    topic: String(row.topic),
    stream: Number(row.stream),
    logOffset: Number(row.log_offset),
  }
}

/** The number of rows. */
export function countRows(dataDir: string): number {
  return Number(queryStore(dataDir, 'SELECT count(*) AS n FROM events')[0]?.n)
}

/** Formats 32 hexadecimal digits as a UUID. */
export function dashed(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
