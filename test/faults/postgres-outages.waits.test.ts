// PostgreSQL is down or refuses work: events wait, none is lost, none becomes a dead letter.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, type TestContext, test } from 'node:test'
import { Client } from 'pg'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { getStatus, landingProblem, request } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { drained } from '../support/tally.ts'

/** Small, so that the tests exhaust it quickly. */
const maxConnections = 16

let postgres: PostgresServer
before(async () => {
  postgres = await PostgresServer.create({ settings: [`max_connections=${maxConnections}`] })
  await postgres.query('CREATE ROLE app LOGIN')
})
after(() => postgres.destroy())

/** A server whose role is not the superuser, because PostgreSQL reserves connections for superusers. */
async function startOnPostgres(t: TestContext): Promise<{ server: InProcessServer; url: string }> {
  const url = await postgres.createDatabase()
  const database = new URL(url).pathname.slice(1)
  await postgres.query(`ALTER DATABASE ${database} OWNER TO app; GRANT ALL ON DATABASE ${database} TO app`)
  await postgres.query('GRANT ALL ON SCHEMA public TO app', [], url)
  return { server: await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: postgres.url(database, 'app') } }), url }
}

/** Waits until landing is paused; returns the reason. */
async function pauseOf(server: InProcessServer, reason: RegExp): Promise<string> {
  return eventually(async () => {
    const text = await landingProblem(server.http)
    assert.match(text ?? '', reason)
    return text ?? ''
  })
}

/** Checks that every event has one row, none is a dead letter, and the process exits cleanly. */
async function assertAllLanded(server: InProcessServer, url: string, count: number): Promise<void> {
  const [line] = await drained(server, 30_000)
  assert.deepEqual([line?.accepted, line?.landed, line?.dead, line?.balanced], [count, count, 0, true])
  assert.deepEqual(await postgres.query('SELECT count(*)::int AS rows FROM events', [], url), [{ rows: count }])
  await eventually(async () => assert.equal(await landingProblem(server.http), null))
  await server.stop()
}

/** Ends all connections of servers to the database. */
async function endBackends(url: string): Promise<number> {
  const statement = `SELECT count(pg_terminate_backend(pid))::int AS ended FROM pg_stat_activity
    WHERE application_name = 'millrace' AND datname = current_database()`
  return Number((await postgres.query(statement, [], url))[0]?.ended)
}

test('fault P4: while PostgreSQL is unreachable the status reports since when, and everything lands once it is back', async (t) => {
  const { server, url } = await startOnPostgres(t)
  const grpc = grpcClient(t, server)
  await grpc.publish({ events: orders(100) })
  await drained(server)
  const stoppedAtMs = Date.now()
  await postgres.stop('SIGQUIT')
  assert.equal((await grpc.publish({ events: orders(100) })).accepted, 100n)

  const text = await pauseOf(server, /^postgres is unreachable: /)
  const stateOf = async () => (await getStatus(server.http)).topics[0]!.groups[0]!.state
  const { since } = await stateOf()
  assert.ok(Date.parse(since!) >= stoppedAtMs && Date.parse(since!) <= Date.now(), since!)
  await pauseOf(server, /^postgres is unreachable: ECONNREFUSED$/)
  assert.partialDeepStrictEqual(await stateOf(), { is: 'outage', by: 'system', since })
  assert.match((await request(server.http, '/metrics')).text, /^millrace_landing_paused 1$/m)
  assert.ok(
    server.logLines().some(({ level, message }) => level === 'warn' && message === `landing is paused: ${text}`),
  )
  await postgres.start()

  await assertAllLanded(server, url, 200)
})

test('fault P5: repeatedly terminated connections lose nothing', async (t) => {
  const { server, url } = await startOnPostgres(t)
  const grpc = grpcClient(t, server)
  let ended = 0
  for (let round = 0; round < 12; round++) {
    const published = grpc.publish({ events: orders(500) })
    ended += await endBackends(url)
    assert.equal((await published).accepted, 500n)
  }
  assert.ok(ended > 0)
  await assertAllLanded(server, url, 12 * 500)
})

test('fault P6: serialization failures and deadlocks are retried, and no event becomes a dead letter', async (t) => {
  const { server, url } = await startOnPostgres(t)
  // A sequence is not rolled back when a transaction fails.
  const failing = `CREATE SEQUENCE tries; GRANT USAGE ON tries TO app;
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE try bigint := nextval('tries');
    BEGIN
      IF try > 4 THEN RETURN NULL; END IF;
      RAISE EXCEPTION 'try %', try USING ERRCODE = CASE try % 2 WHEN 0 THEN '40001' ELSE '40P01' END;
    END $$;
    CREATE TRIGGER fail BEFORE INSERT ON events EXECUTE FUNCTION fail()`
  await postgres.query(failing, [], url)
  // Few enough that repeated halving would reach single events before the failures end.
  await grpcClient(t, server).publish({ events: orders(4) })

  await assertAllLanded(server, url, 4)
  const [tries] = await postgres.query('SELECT last_value::int AS tries FROM tries', [], url)
  assert.ok(Number(tries?.tries) > 4)
})

test('fault P9: when all connections are in use landing waits and opens no more than its own', async (t) => {
  const { server, url } = await startOnPostgres(t)
  const grpc = grpcClient(t, server)
  const others: Client[] = []
  const useUp = async (): Promise<void> => {
    for (;;) {
      const client = new Client({ connectionString: postgres.url('postgres', 'app') })
      client.on('error', () => {})
      try {
        await client.connect()
      } catch {
        return
      }
      others.push(client)
    }
  }
  await useUp()
  await eventually(async () => {
    await endBackends(url)
    await useUp()
    // One may be the test's own idle connection.
    assert.ok(others.length >= maxConnections - 4)
  })
  await grpc.publish({ events: orders(300) })
  await pauseOf(server, /^postgres is unreachable: 53300: /)

  await Promise.all(others.map((client) => Promise.all([once(client, 'end'), client.end()])))
  await Promise.all(Array.from({ length: 10 }, () => request(server.http, '/v1/events?limit=1')))
  const own = `SELECT count(*)::int AS own FROM pg_stat_activity WHERE application_name = 'millrace' AND datname = current_database()`
  assert.ok(Number((await postgres.query(own, [], url))[0]?.own) <= 5)
  await assertAllLanded(server, url, 300)
})

test('fault P10: a server that became read-only is retried over a new connection', async (t) => {
  const { server, url } = await startOnPostgres(t)
  const grpc = grpcClient(t, server)
  const database = new URL(url).pathname.slice(1)
  await postgres.query(`ALTER DATABASE ${database} SET default_transaction_read_only = on`)
  await endBackends(url)
  await grpc.publish({ events: orders(300) })
  await pauseOf(server, /^postgres fails temporarily: 25006: /)
  await postgres.query(`ALTER DATABASE ${database} RESET default_transaction_read_only`)

  await assertAllLanded(server, url, 300)
})

test('an unlisted SQLSTATE raises an alarm until the operator classifies it', async (t) => {
  const { server, url } = await startOnPostgres(t)
  const raising = `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not here'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.subject = 'refused') EXECUTE FUNCTION refuse()`
  await postgres.query(raising, [], url)
  const grpc = grpcClient(t, server)
  await grpc.publish({ events: [...orders(2), ...orders(1, { subject: 'refused' })] })

  await pauseOf(server, /^postgres fails with an unlisted SQLSTATE: P0001: /)
  await eventually(async () => {
    const { text } = await request(server.http, '/metrics')
    const [, tries] = /^millrace_landing_unlisted_sqlstate_total\{code="P0001"\} (\d+)$/m.exec(text) ?? []
    assert.ok(Number(tries) >= 2, 'it is not retried')
  })
  const alarms = server.logLines().filter(({ message }) => String(message).startsWith('landing_unlisted_sqlstate'))
  assert.deepEqual(
    alarms.map(({ level, sqlstate }) => [level, sqlstate]),
    [['error', 'P0001']],
  )
  await server.stop()

  const env = { MILLRACE_POSTGRES_URL: url, MILLRACE_DEAD_SQLSTATES: 'U0042,P0001' }
  const again = await startInProcess(t, { dataDir: server.dataDir, env })
  const [line] = await drained(again)
  assert.deepEqual([line?.accepted, line?.landed, line?.dead, line?.balanced], [3, 2, 1, true])
})
