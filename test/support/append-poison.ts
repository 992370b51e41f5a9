// Appends a batch of 1,000 events to the log of a stopped server, bypassing ingest validation. Three of them are JSON
// that jsonb rejects: a NUL escape, 20,000 levels of arrays, a number out of range. One lands and is read back as 537 MB.
//
// As a program: node test/support/append-poison.ts DATA_DIR

import { resolve } from 'node:path'
import { encodeBatch } from '../../src/event/record-batch.ts'
import { openEventLog } from '../../src/event-log/open-event-log.ts'

const depth = 20_000

/** Id, index in the batch, data. */
const specialEvents = [
  { id: 'poison-nul', at: 0, data: '{"name":"a\\u0000b"}' },
  { id: 'poison-deep', at: 500, data: `${'['.repeat(depth)}${']'.repeat(depth)}` },
  { id: 'exploding', at: 998, data: `[${'1e131000,'.repeat(4100)}0]` },
  { id: 'poison-huge', at: 999, data: '{"n": 1e400000}' },
] as const

export async function appendPoisonBatch(dataDir: string): Promise<void> {
  const events = Array.from({ length: 1000 }, (_, index) => {
    const special = specialEvents.find(({ at }) => at === index)
    const data = Buffer.from(special?.data ?? `{"n":${index}}`)
    return { id: special?.id ?? `fine-${index}`, source: '/poison', type: 'mixed', data }
  })
  const logger = { info() {}, warn() {} }
  const eventLog = await openEventLog({ dataDir: resolve(dataDir), diskReserveBytes: 0 }, { logger, now: Date.now })
  try {
    const batch = { bytes: encodeBatch(events), count: events.length, receivedAtMicros: Date.now() * 1000 }
    await eventLog.append({ topic: 'events', partition: 0, lane: 'normal' }, [batch])
  } finally {
    await eventLog.close()
  }
}

if (import.meta.main) await appendPoisonBatch(process.argv[2] ?? 'data')
