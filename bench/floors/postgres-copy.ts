// F6: PostgreSQL alone. COPY of the same rows from a binary file on the server into the same table, one file after the
// other.

import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { encodeBatch } from '../../src/event/record-batch.ts'
import { CopyEncoder, copyHeader, copyTrailer, eventColumns } from '../../src/store/postgres/copy-encoder.ts'
import { runBlock } from '../block.ts'
import { expectedRows, idPrefix, payload } from '../messages.ts'
import { postgresCpuSeconds, postgresNumbersProblems, withPostgres } from '../postgres.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface PostgresCopyOptions {
  readonly events: number
  readonly payloadBytes: number
}

/** Max rows of one landing transaction. */
const rowsPerCopy = 8000
/** Share of the rows that warm up the server and do not count. */
const warmUpShare = 0.25

const tables = new URL('../../src/store/postgres/migrations/0001-events.sql', import.meta.url)
const columns = eventColumns.join(', ')

await runBlock(({ events, payloadBytes }: PostgresCopyOptions) =>
  withTempDirectory((directory) =>
    withPostgres(directory, async (postgres, url) => {
      const client = new Client({ connectionString: url })
      await client.connect()
      await client.query(readFileSync(tables, 'utf8'))
      const files: string[] = []
      for (let first = 1; first <= events; first += rowsPerCopy) {
        files.push(writeRows(directory, first, Math.min(rowsPerCopy, events + 1 - first), payloadBytes))
      }
      const warmUpFiles = Math.floor(files.length * warmUpShare)
      const copy = (file: string) => client.query(`COPY events (${columns}) FROM '${file}' (FORMAT binary)`)
      for (const file of files.slice(0, warmUpFiles)) await copy(file)
      const cpuBefore = postgresCpuSeconds(postgres)
      const startMs = performance.now()
      for (const file of files.slice(warmUpFiles)) await copy(file)
      const seconds = (performance.now() - startMs) / 1000
      const serviceCpuSeconds = postgresCpuSeconds(postgres) - cpuBefore
      await client.end()
      const problems = await postgresNumbersProblems(postgres, url, expectedRows(events), { payloadBytes })
      const measured = events - warmUpFiles * rowsPerCopy
      return { events: measured, seconds, serviceCpuSeconds, durability: 'disk', problems, details: {} }
    }),
  ),
)

/** Writes rows to a file that the server can read; returns its path. */
function writeRows(directory: string, first: number, count: number, payloadBytes: number): string {
  const encoder = new CopyEncoder()
  const prefix = idPrefix()
  const events = Array.from({ length: count }, (_, index) => ({
    id: prefix + (first + index).toString(16).padStart(12, '0'),
    source: '/bench',
    type: 'bench.reading',
    data: payload(first + index, payloadBytes),
  }))
  const position = { stream: { topic: 'events', partition: 0, lane: 'normal' }, epoch: 1, offset: first } as const
  const batch = { bytes: encodeBatch(events), count, receivedAtMicros: Date.now() * 1000 }
  encoder.add(0, { entry: { position, batch }, priority: 2, stream: 1 })
  const file = join(directory, `rows-${first}.bin`)
  writeFileSync(file, Buffer.concat([copyHeader, encoder.bytes, copyTrailer]))
  chmodSync(file, 0o644)
  return file
}
