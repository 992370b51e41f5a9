// Sends encoded rows to a COPY, and their keys to a query.

import { pipeline } from 'node:stream/promises'
import type { ClientBase } from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { copyHeader, copyTrailer, type EncodedRow, eventColumns } from './copy-encoder.ts'

/** pg-copy-streams makes two writes to the socket of each piece that it gets: large ones, but not the whole. */
const pieceBytes = 128 * 1024

const columns = eventColumns.join(', ')
const copyEvents = `COPY events (${columns}) FROM STDIN (FORMAT binary)`
const copyStaging = `COPY pg_temp.millrace_staging (place, has_time, ${columns}) FROM STDIN (FORMAT binary)`

/** Of a staged row beyond its event's columns: their number, the place, and whether it has a time. */
const stagedHeadBytes = 2 + 8 + 5

/** A row begins with the number of its columns, and each column with its length. */
const keyOffset = 2 + 4
const keyBytes = 16

/** `uuid`, among PostgreSQL's numbers of types. */
const uuidType = 2950

/** Sends rows to `events`. `bytes` are the encoder's. */
export async function copyToEvents(client: ClientBase, rows: readonly EncodedRow[], bytes: Buffer): Promise<void> {
  await copy(client, copyEvents, spansOf(rows, bytes))
}

/** Sends rows to the staging table; their places there are those in `rows`. */
export async function copyToStaging(client: ClientBase, rows: readonly EncodedRow[], bytes: Buffer): Promise<void> {
  await copy(client, copyStaging, stagedParts(rows, bytes))
}

/** Below zero when the key of `a` comes before that of `b`, 0 when they are equal. */
export function compareKeys(a: EncodedRow, b: EncodedRow, bytes: Buffer): number {
  const [startOfA, startOfB] = [a.start + keyOffset, b.start + keyOffset]
  for (let at = 0; at < keyBytes; at++) {
    const difference = bytes[startOfA + at]! - bytes[startOfB + at]!
    if (difference !== 0) return difference
  }
  return 0
}

/** The keys as a `uuid[]` in PostgreSQL's binary format, which is not cut out of a text on either side. */
export function encodeKeys(rows: readonly EncodedRow[], bytes: Buffer): Buffer {
  const headBytes = 20
  const array = Buffer.allocUnsafe(headBytes + rows.length * (4 + keyBytes))
  // One dimension, no nulls, the type, how many, and the number of the first one.
  let at = [1, 0, uuidType, rows.length, 1].reduce((end, number) => array.writeInt32BE(number, end), 0)
  for (const { start } of rows) {
    at = array.writeInt32BE(keyBytes, at)
    at += bytes.copy(array, at, start + keyOffset, start + keyOffset + keyBytes)
  }
  return array
}

/** The bytes of the rows; those that stand one behind the other are one span. */
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
    // Without the number of the event's own columns.
    yield bytes.subarray(start + 2, end)
  }
}

/** Sends the rows to a COPY and waits for its end. */
async function copy(client: ClientBase, statement: string, parts: Iterable<Buffer>): Promise<void> {
  await pipeline(piecesOf(parts), client.query(copyFrom(statement)))
}

/** The whole stream of a COPY, in pieces of about `pieceBytes`. */
function* piecesOf(parts: Iterable<Buffer>): Generator<Buffer> {
  let gathered: Buffer[] = [copyHeader]
  let bytes = copyHeader.length
  for (const part of parts) {
    for (let at = 0; at < part.length; at += pieceBytes) {
      const piece = part.subarray(at, at + pieceBytes)
      gathered.push(piece)
      bytes += piece.length
      if (bytes < pieceBytes) continue
      yield gathered.length === 1 ? piece : Buffer.concat(gathered)
      gathered = []
      bytes = 0
    }
  }
  gathered.push(copyTrailer)
  yield Buffer.concat(gathered)
}
