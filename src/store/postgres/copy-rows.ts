// Sends encoded rows with COPY, and encodes their keys for a query.

import { pipeline } from 'node:stream/promises'
import type { ClientBase } from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { copyHeader, copyTrailer, type EncodedRow, eventColumns } from './copy-encoder.ts'

/** pg-copy-streams makes two socket writes per chunk, so chunks are large, but not the whole COPY. */
const chunkBytes = 128 * 1024

const columns = eventColumns.join(', ')
const copyEvents = `COPY events (${columns}) FROM STDIN (FORMAT binary)`
const copyStaging = `COPY pg_temp.millrace_staging (place, has_time, ${columns}) FROM STDIN (FORMAT binary)`

/** Bytes of a staged row before its event's columns: number of columns, place, has_time. */
const stagedHeadBytes = 2 + 8 + 5

/** Offset of the key in a row: after the number of columns and the length of the first column. */
const keyOffset = 2 + 4
const keyBytes = 16

/** PostgreSQL's OID of the type `uuid`. */
const uuidType = 2950

/**
 * Copies rows to `events` and returns how many were inserted: a BEFORE trigger may skip some. @param bytes those of the
 * encoder.
 */
export function copyToEvents(client: ClientBase, rows: readonly EncodedRow[], bytes: Buffer): Promise<number> {
  return copy(client, copyEvents, spansOf(rows, bytes))
}

/** Copies rows to the staging table; the `place` of each is its index in `rows`. */
export async function copyToStaging(client: ClientBase, rows: readonly EncodedRow[], bytes: Buffer): Promise<void> {
  await copy(client, copyStaging, stagedParts(rows, bytes))
}

/** Below zero if the key of `a` is before that of `b`, 0 if they are equal. */
export function compareKeys(a: EncodedRow, b: EncodedRow, bytes: Buffer): number {
  const [startOfA, startOfB] = [a.start + keyOffset, b.start + keyOffset]
  for (let at = 0; at < keyBytes; at++) {
    const difference = bytes[startOfA + at]! - bytes[startOfB + at]!
    if (difference !== 0) return difference
  }
  return 0
}

/** The keys as a `uuid[]` in PostgreSQL's binary format, which neither side has to format or parse as text. */
export function encodeKeys(rows: readonly EncodedRow[], bytes: Buffer): Buffer {
  const headBytes = 20
  const array = Buffer.allocUnsafe(headBytes + rows.length * (4 + keyBytes))
  // Number of dimensions, has-nulls flag, element type, length, lower bound.
  let at = [1, 0, uuidType, rows.length, 1].reduce((end, number) => array.writeInt32BE(number, end), 0)
  for (const { start } of rows) {
    at = array.writeInt32BE(keyBytes, at)
    at += bytes.copy(array, at, start + keyOffset, start + keyOffset + keyBytes)
  }
  return array
}

/** The bytes of the rows; adjacent rows are one span. */
function* spansOf(rows: readonly EncodedRow[], bytes: Buffer): Generator<Buffer> {
  for (let first = 0; first < rows.length; ) {
    let last = first
    while (last + 1 < rows.length && rows[last + 1]!.start === rows[last]!.end) last++
    yield bytes.subarray(rows[first]!.start, rows[last]!.end)
    first = last + 1
  }
}

function* stagedParts(rows: readonly EncodedRow[], bytes: Buffer): Generator<Buffer> {
  for (const [place, { start, end, hasTime }] of rows.entries()) {
    const head = Buffer.alloc(stagedHeadBytes)
    head.writeInt16BE(eventColumns.length + 2, 0)
    head.writeInt32BE(4, 2)
    head.writeInt32BE(place, 6)
    head.writeInt32BE(1, 10)
    head[14] = hasTime ? 1 : 0
    yield head
    // The event's columns without their count.
    yield bytes.subarray(start + 2, end)
  }
}

/** Sends the rows with COPY, waits until it ends and returns how many rows the server has inserted. */
async function copy(client: ClientBase, statement: string, parts: Iterable<Buffer>): Promise<number> {
  const copying = client.query(copyFrom(statement))
  await pipeline(chunksOf(parts), copying)
  return copying.rowCount
}

/** The whole stream of a COPY, in chunks of about `chunkBytes`. */
function* chunksOf(parts: Iterable<Buffer>): Generator<Buffer> {
  let gathered: Buffer[] = [copyHeader]
  let bytes = copyHeader.length
  for (const part of parts) {
    for (let at = 0; at < part.length; at += chunkBytes) {
      const chunk = part.subarray(at, at + chunkBytes)
      gathered.push(chunk)
      bytes += chunk.length
      if (bytes < chunkBytes) continue
      yield gathered.length === 1 ? chunk : Buffer.concat(gathered)
      gathered = []
      bytes = 0
    }
  }
  gathered.push(copyTrailer)
  yield Buffer.concat(gathered)
}
