// A PostgreSQL that is frozen: its connections stay open, and nothing answers.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { orders } from '../support/events.ts'
import { eventually, within } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { startServer } from '../support/server-process.ts'
import { drained } from '../support/tally.ts'

let postgres: PostgresServer
before(async () => {
  postgres = await PostgresServer.create()
})
after(() => postgres.destroy())

function signalAll(signal: 'SIGSTOP' | 'SIGCONT'): void {
  for (const pid of postgres.pids) process.kill(pid, signal)
}

test('a stop while PostgreSQL is silent ends at the drain deadline with exit code 0, and nothing is lost', async (t) => {
  const url = await postgres.createDatabase()
  const env = { MILLRACE_POSTGRES_URL: url, MILLRACE_DRAIN_MS: '2000' }
  const server = await startServer(t, { env })
  const grpc = grpcClient(t, server)
  await grpc.publish({ events: orders(10) })
  await drained(server)
  signalAll('SIGSTOP')
  try {
    assert.equal((await grpc.publish({ events: orders(10) })).accepted, 10n)
    // The landing that cannot end.
    await eventually(async () => {
      const { text } = await request(server.http, '/metrics')
      assert.match(text, /^millrace_log_in_flight\S*topic="events"\S* 10$/m)
    })
    server.kill('SIGTERM')
    // Closing may exceed the drain time by 2 s; then the code is 1.
    assert.deepEqual(await within(10_000, 'the exit', server.exited), { code: 0, signal: null })
  } finally {
    signalAll('SIGCONT')
  }
  const again = await startInProcess(t, { dataDir: server.dataDir, env })
  const [line] = await drained(again)
  assert.deepEqual([line?.landed, line?.dead, line?.balanced], [20, 0, true])
  assert.deepEqual(await postgres.query('SELECT count(*)::int AS rows FROM events', [], url), [{ rows: 20 }])
})
