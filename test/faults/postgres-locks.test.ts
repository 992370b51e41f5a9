// A person's lock on a table: it is named as a lock, with its holder, and not as a server that is slow or unreachable.

import assert from 'node:assert/strict'
import { before, type TestContext, test } from 'node:test'
import { Client } from 'pg'
import { EventIdGenerator } from '../../src/event/event.ts'
import { counts, entriesOf } from '../conformance/landing-entries.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { landingProblem, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import type { Postgres } from '../support/postgres-server.ts'
import { openPostgres } from '../support/postgres-store.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { drained } from '../support/tally.ts'

let postgres: Postgres
before(async () => {
  postgres = await sharedPostgres()
})

const ids = new EventIdGenerator()

/** A session of another program; it ends with the test. */
async function sessionOf(t: TestContext, url: string, program = 'psql'): Promise<Client> {
  const session = new Client({ connectionString: url, application_name: program })
  await session.connect()
  cleanup(t, () => session.end())
  return session
}

test('a lock on a table is named with its holder in status, log and answers, until it is released', async (t) => {
  const url = await postgres.createDatabase()
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: `${url}?lock_timeout=200` } })
  const session = await sessionOf(t, url)
  const { pid } = (await session.query('SELECT pg_backend_pid() AS pid')).rows[0]
  await session.query('BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE')
  await grpcClient(t, server).publish({ events: orders(3) })

  const holder = `session ${pid} of role postgres \\(psql\\) has held AccessExclusiveLock on events for \\d+ s`
  await eventually(async () =>
    assert.match(
      (await landingProblem(server.http)) ?? '',
      new RegExp(`^postgres waits for a lock: ${holder}: 55P03: `),
    ),
  )
  const expected = new RegExp(`^landing is paused: postgres waits for a lock: ${holder}: 55P03: `)
  assert.equal(server.logLines().filter(({ message }) => expected.test(String(message))).length, 1)
  const answer = await request(server.http, '/v1/events?limit=1')
  assert.equal(answer.status, 503)
  assert.match(JSON.parse(answer.text).detail, new RegExp(`^postgres waits for a lock: ${holder}`))

  await session.query('ROLLBACK')
  const [line] = await drained(server)
  assert.deepEqual([line?.landed, line?.dead], [3, 0])
  await eventually(async () => assert.equal(await landingProblem(server.http), null))
})

test('a lock is named whichever timeout ends the wait, and a slow statement is not called a lock', async (t) => {
  const url = await postgres.createDatabase()
  const event = { id: ids.next(), type: 'a' }
  const entries = entriesOf([event], 1)
  const cases = [
    ['lock_timeout=0&statement_timeout=300', 'LOCK TABLE events IN SHARE MODE', 'ShareLock', '57014: '],
    // A server whose timeouts do not apply, behind a pooler for example.
    [
      'lock_timeout=0&statement_timeout=0&query_timeout=300',
      'LOCK TABLE streams',
      'AccessExclusiveLock',
      'Query read timeout',
    ],
    [
      'lock_timeout=300',
      `INSERT INTO events SELECT '${event.id}', null, '/', 'a', null, now(), now(), 'events', 2, null, null, null, '', null, 1, 1`,
      'RowExclusiveLock',
      '55P03: ',
    ],
  ] as const
  const session = await sessionOf(t, url)
  for (const [timeouts, statement, mode, cause] of cases) {
    const store = await openPostgres(t, `${url}?${timeouts}`)
    assert.equal((await store.describe()).up, true)
    await session.query(`BEGIN; ${statement}`)
    await assert.rejects(store.landEvents(entries), {
      code: 'unavailable',
      message: new RegExp(`^postgres waits for a lock: session \\d+ .* has held ${mode} on \\w+ for \\d+ s: ${cause}`),
    })
    await session.query('ROLLBACK')
  }

  // Another process of Millrace that is frozen within its transaction.
  const frozen = await sessionOf(t, url, 'millrace')
  const waiting = await openPostgres(t, `${url}?lock_timeout=300`)
  await frozen.query(`BEGIN; ${cases[2][1]}`)
  const landings = await Promise.allSettled([waiting.landEvents(entries), waiting.landEvents(entries)])
  const { pid } = (await frozen.query('SELECT pg_backend_pid() AS pid')).rows[0]
  for (const landing of landings) {
    const said = new RegExp(`: session ${pid} of role postgres \\(millrace\\) has held RowExclusiveLock on events for `)
    assert.match(landing.status === 'rejected' ? landing.reason.message : '', said)
  }
  await frozen.query('ROLLBACK')

  const slow = await openPostgres(t, `${url}?statement_timeout=300`)
  const sleep = `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.6); RETURN NEW; END';
    CREATE TRIGGER slow BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION slow()`
  await postgres.query(sleep, [], url)
  await session.query(`BEGIN; ${cases[2][1].replace(event.id, ids.next())}`)
  await assert.rejects(slow.landEvents(entries), { code: 'unavailable', message: /^postgres timed out: 57014: / })
  await session.query('ROLLBACK')
  await postgres.query('DROP FUNCTION slow CASCADE', [], url)
  assert.deepEqual(await slow.landEvents(entries), counts(1))
})
