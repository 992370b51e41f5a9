// Failures that an operator has to repair: an alarm, a probe every 10 s, and no dead letter.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { landingProblem } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import type { Postgres } from '../support/postgres-server.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { drained } from '../support/tally.ts'

let postgres: Postgres
before(async () => {
  postgres = await sharedPostgres()
})

const probeMs = 10_000

const damages = [
  {
    what: 'a missing table',
    damage: 'ALTER TABLE events RENAME TO events_elsewhere',
    repair: 'ALTER TABLE events_elsewhere RENAME TO events',
    reason: /^postgres refuses: 42P01: /,
  },
  {
    what: 'a missing column',
    damage: 'ALTER TABLE events RENAME COLUMN subject TO topic_of_talk',
    repair: 'ALTER TABLE events RENAME COLUMN topic_of_talk TO subject',
    reason: /^postgres refuses: 42703: /,
  },
  {
    what: 'a revoked privilege',
    damage: 'REVOKE INSERT ON events FROM revoked',
    repair: 'GRANT INSERT ON events TO revoked',
    reason: /^postgres refuses: 42501: /,
  },
] as const

// The cases run concurrently: each takes one probe.
test('fault P11', { concurrency: true }, async (t) => {
  await postgres.query('CREATE ROLE revoked LOGIN')
  await Promise.all(
    damages.map(({ what, damage, repair, reason }) =>
      t.test(`fault P11: ${what} pauses landing with an alarm, and landing resumes after the repair`, async (t) => {
        const url = await postgres.createDatabase()
        const database = new URL(url).pathname.slice(1)
        const run = (statement: string) => postgres.query(statement, [], url)
        await run('GRANT ALL ON SCHEMA public TO revoked')
        await run('ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO revoked')
        await run('ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO revoked')
        const migrating = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: url } })
        await migrating.stop()
        const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: postgres.url(database, 'revoked') } })
        const grpc = grpcClient(t, server)
        await grpc.publish({ events: orders(10) })
        await drained(server)
        await run(damage)
        await grpc.publish({ events: orders(10) })

        await eventually(async () => assert.match((await landingProblem(server.http)) ?? '', reason))
        assert.equal((await grpc.publish({ events: orders(10) })).accepted, 10n, 'ingest continues')
        assert.ok(server.logLines().some(({ level, code }) => level === 'error' && code === 'failed_precondition'))
        await run(repair)

        const [line] = await drained(server, probeMs + 3000)
        assert.deepEqual([line?.accepted, line?.landed, line?.dead, line?.balanced], [30, 30, 0, true])
        assert.equal(await landingProblem(server.http), null)
      }),
    ),
  )
})
