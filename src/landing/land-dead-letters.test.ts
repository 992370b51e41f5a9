import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { cleanup } from '../../test/support/cleanup.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import type { Delivery } from '../event-log/event-log.ts'
import { openStore } from '../store/open-store.ts'
import type { RetryReport } from '../workers/handler.ts'
import { createDeadLetterLanding } from './land-dead-letters.ts'

test('a damaged dead letter that the table refuses is redelivered whole, and lands as the same letter', async (t) => {
  const dataDir = tempDirectory(t)
  const store = await openStore({ dataDir, diskReserveBytes: 0 })
  cleanup(t, () => store.close())
  const execute = (sql: string) => {
    const database = new DatabaseSync(join(dataDir, 'store.db'))
    database.exec(sql)
    database.close()
  }
  const reports: RetryReport[] = []
  const handler = createDeadLetterLanding({ store, now: () => 1_000_000, random: () => 0.5 })
  const context = {
    topic: '_dead',
    group: 'dead',
    signal: new AbortController().signal,
    reportRetry: (report: RetryReport) => reports.push(report),
  }
  const delivery: Delivery = {
    id: '1',
    position: { stream: { topic: '_dead', partition: 0, lane: 'normal' }, epoch: 1, offset: 7 },
    batch: { bytes: Buffer.from('not an event'), count: 1, receivedAtMicros: 5_000_000, damaged: true },
    attempt: 3,
    isSuspect: false,
    isKeyed: false,
    isFirstLease: false,
  }
  await handler([delivery], context)
  const [landed] = (await store.listDeadLetters({ limit: 2 })).deadLetters
  execute(`DELETE FROM dead_letters;
    CREATE TRIGGER refuse BEFORE INSERT ON dead_letters BEGIN SELECT RAISE(ABORT, 'no'); END`)

  const [outcome] = await handler([delivery], context)

  const [again] = outcome?.again ?? []
  assert.deepEqual([outcome?.landed, outcome?.dead, again?.attempt, again?.dueAtMs], [0, 0, 3, 1_002_000])
  assert.deepEqual(reports, [
    { reason: `the database refuses dead letter ${landed!.deadLetterId}: 1811: no`, dueAtMs: 1_002_000, isNew: false },
  ])
  execute('DROP TRIGGER refuse')
  const [second] = await handler([{ ...delivery, batch: again!.batch, attempt: 4 }], context)
  assert.equal(second?.landed, 1)
  const [letter] = await store.readDeadLetters([landed!.deadLetterId])
  assert.equal(Buffer.from(letter!.event).toString(), 'not an event')
  assert.equal(letter?.code, 'corrupt')
})
