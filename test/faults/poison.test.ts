import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { assertSound, compare } from '../support/checker.ts'
import { order } from '../support/events.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { Journal } from '../support/journal.ts'
import { readDeadLetters } from '../support/log-file.ts'
import { readRows } from '../support/store-file.ts'
import { drained, tally } from '../support/tally.ts'

/** A database that rejects individual rows, as a check or a trigger of its owner would. */
function refusePoison(dataDir: string): void {
  const database = new DatabaseSync(join(dataDir, 'store.db'))
  database.exec(`CREATE TRIGGER no_poison BEFORE INSERT ON events WHEN NEW.type = 'poison'
    BEGIN SELECT RAISE(ABORT, 'this table takes no poison'); END`)
  database.close()
}

test('fault P1: three poison rows among 1,000 become three dead letters, and 997 rows land', async (t) => {
  const journal = new Journal()
  const server = await startInProcess(t)
  await server.stop()
  refusePoison(server.dataDir)
  await server.start()
  const grpc = grpcClient(t, server)
  const poisonAt = [0, 500, 999]
  const events = Array.from({ length: 1000 }, (_, index) =>
    order(index, poisonAt.includes(index) ? { type: 'poison' } : {}),
  )
  const attempts = events.map((event) => journal.attempt('p', event))
  assert.equal((await grpc.publish({ events })).accepted, 1000n)
  for (const attempt of attempts) attempt.answer = 'accepted'
  const ledger = await drained(server)
  assert.deepEqual(await tally(server), { waiting: 0, landed: 997, dead: 3 })
  const metrics = (await request(server.http, '/metrics')).text
  assert.match(metrics, /^millrace_dead_letters_total\{topic="events",group="landing",code="refused_by_store"\} 3$/m)
  assert.match(metrics, /^millrace_landing_poison_total\{code="1811"\} 3$/m)
  await server.stop()

  const letters = readDeadLetters(server.dataDir)
  assert.deepEqual(
    letters.map(({ code, attempts, event }) => [code, attempts, event?.id]),
    poisonAt.map((index) => ['refused_by_store', 1, events[index]?.id]),
  )
  for (const { message } of letters) assert.match(message, /this table takes no poison/)
  const dead = letters.map(({ event }) => ({ source: event?.source ?? '', id: event?.id ?? '' }))
  assertSound(t, compare({ journal, rows: readRows(server.dataDir), dead, ledger }))
})
