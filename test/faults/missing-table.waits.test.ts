import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { order } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { landingProblem } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { drained } from '../support/tally.ts'

test('fault P11: a missing table pauses landing with an alarm and makes no dead letter', async (t) => {
  const server = await startInProcess(t)
  const grpc = grpcClient(t, server)
  await grpc.publish({ events: [order(1)] })
  await drained(server)
  const database = new DatabaseSync(join(server.dataDir, 'store.db'), { timeout: 5000 })
  database.exec('ALTER TABLE events RENAME TO events_elsewhere')
  await grpc.publish({ events: [order(2), order(3)] })
  await eventually(async () => assert.equal(typeof (await landingProblem(server.http)), 'string'))
  assert.equal((await grpc.publish({ events: [order(4)] })).accepted, 1n, 'ingest continues')
  database.exec('ALTER TABLE events_elsewhere RENAME TO events')
  database.close()
  const [line] = await drained(server, 20_000)
  assert.deepEqual([line?.landed, line?.dead], [4, 0])
  assert.equal(await landingProblem(server.http), null)
})
