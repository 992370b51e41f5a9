// Starting on a misconfigured PostgreSQL: the start is refused with a clear error, or the tables are correct.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chownSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { Client } from 'pg'
import type { MillraceError } from '../../src/errors.ts'
import { migrateStore, openStore } from '../../src/store/open-store.ts'
import { entriesOf } from '../conformance/landing-entries.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { getStatus, landingProblem } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { openPostgres } from '../support/postgres-store.ts'
import { runCommand, runCommandProcess } from '../support/run-command.ts'
import { ServerProcess } from '../support/server-process.ts'
import { skip } from '../support/skip.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

let postgres: PostgresServer
before(async () => {
  postgres = await PostgresServer.create()
})
after(() => postgres.destroy())

const open = (postgresUrl: string) => openStore({ dataDir: '', diskReserveBytes: 0, postgresUrl })

const tablesOf = async (url: string) =>
  (
    await postgres.query(
      "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
      [],
      url,
    )
  )
    .map(({ relname }) => relname)
    .sort()

test('fault P17: a migration that is killed half-way changes nothing and can be run again', async (t) => {
  const url = await postgres.createDatabase()
  // The migration creates the tables before this one, then blocks on the transaction that creates this one.
  const holder = new Client({ connectionString: url })
  await holder.connect()
  cleanup(t, () => holder.end())
  await holder.query('BEGIN; CREATE TABLE events (held integer)')
  const migrating = new ServerProcess(tempDirectory(t), { env: { MILLRACE_POSTGRES_URL: url } })
  migrating.launch()
  const waits =
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'millrace' AND wait_event_type = 'Lock' AND datname = current_database()"
  await eventually(async () => assert.equal((await postgres.query(waits, [], url)).length, 1))

  await migrating.crash()
  await holder.query('ROLLBACK')
  const left = "SELECT pid FROM pg_stat_activity WHERE application_name = 'millrace' AND datname = current_database()"
  await eventually(async () => assert.equal((await postgres.query(left, [], url)).length, 0))

  assert.deepEqual(await tablesOf(url), [])
  const result = await runCommand(['migrate', '--postgres-url', url], { dataDir: tempDirectory(t) })
  assert.equal(result.code, 0, result.stderr)
  assert.ok((await tablesOf(url)).includes('events'))
})

test('fault P17: when several servers migrate at once one does it, and all start', async (t) => {
  const url = await postgres.createDatabase()
  const [first, ...others] = (await Promise.all(Array.from({ length: 6 }, () => migrateStore(url)))).toSorted(
    (a, b) => b.length - a.length,
  )
  assert.ok(first !== undefined && first.length > 0)
  assert.deepEqual(others, Array(5).fill([]))

  const another = await postgres.createDatabase()
  const stores = await Promise.all([openPostgres(t, another), openPostgres(t, another), openPostgres(t, another)])
  for (const store of stores) assert.equal((await store.describe()).up, true)
})

test('a wrong password is reported as such at the start', async (t) => {
  const rules = join(postgres.directory, 'data', 'pg_hba.conf')
  const before = readFileSync(rules, 'utf8')
  cleanup(t, async () => {
    writeFileSync(rules, before)
    await postgres.query('SELECT pg_reload_conf()')
  })
  await postgres.query("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'right'")
  writeFileSync(rules, `host all guarded 127.0.0.1/32 scram-sha-256\n${before}`)
  await postgres.query('SELECT pg_reload_conf()')
  const url = (await postgres.createDatabase()).replace('postgres@', 'guarded:wrong@')

  await eventually(() =>
    assert.rejects(open(url), {
      code: 'failed_precondition',
      message: /MILLRACE_POSTGRES_URL: postgres refuses: 28P01: .*guarded/,
    }),
  )
  await (await open(url.replace('wrong', 'right'))).close()
  const result = await runCommandProcess(t, ['start', '--postgres-url', url], { dataDir: tempDirectory(t) })
  assert.equal(result.code, 1)
  assert.match(result.stderr, /28P01/)
  assert.doesNotMatch(result.stderr, /:wrong@/)
})

test('when TLS is required, a server without TLS or with the certificate of another host is refused', async (t) => {
  const url = await postgres.createDatabase()
  await assert.rejects(open(`${url}?sslmode=verify-full`), {
    code: 'failed_precondition',
    message: /MILLRACE_POSTGRES_URL: cannot connect securely to postgres: .*does not support SSL/,
  })
  const directory = tempDirectory(t)
  for (const [file, fault] of [
    [join(directory, 'none.crt'), /cannot connect securely to postgres: ENOENT: .*none\.crt/],
    [directory, /cannot connect securely to postgres: EISDIR/],
  ] as const) {
    const refused = { code: 'failed_precondition', message: fault }
    await assert.rejects(open(`${url}?sslmode=verify-full&sslrootcert=${file}`), refused)
  }
  const made = [makeCertificate(directory, 'ours', '127.0.0.1'), makeCertificate(directory, 'other', '127.0.0.1')]
  if (made.includes(false)) return skip(t, 'openssl is not installed')
  await useCertificate(t, directory, 'ours')
  const trusting = (name: string, host = '127.0.0.1') =>
    `${url.replace('127.0.0.1', host)}?sslmode=verify-full&sslrootcert=${join(directory, name)}.crt`

  await eventually(async () => (await open(trusting('ours'))).close())
  await assert.rejects(open(trusting('other')), {
    code: 'failed_precondition',
    message: /MILLRACE_POSTGRES_URL: .*self-signed certificate/,
  })
  // Without a required TLS mode the certificate is not checked.
  const isEncrypted = `SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
    WHERE application_name = 'millrace' AND datname = current_database()`
  const preferring = await openPostgres(t, `${url}?sslmode=prefer`)
  await preferring.describe()
  const sessions = await postgres.query(isEncrypted, [], url)
  assert.ok(sessions.length > 0 && sessions.every(({ ssl }) => ssl === true))
  await assert.rejects(open(trusting('ours', 'localhost')), {
    code: 'failed_precondition',
    message: /MILLRACE_POSTGRES_URL: .*altnames/,
  })
})

/** Makes a self-signed certificate and its key. False when openssl is not installed. */
function makeCertificate(directory: string, name: string, address: string): boolean {
  const file = join(directory, name)
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=IP:${address}`]
  const output = ['-keyout', `${file}.key`, '-out', `${file}.crt`, '-days', '2', '-nodes']
  try {
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', ...subject, ...output],
      { stdio: 'ignore' },
    )
    return true
  } catch {
    return false
  }
}

async function useCertificate(t: TestContext, directory: string, name: string): Promise<void> {
  const data = join(postgres.directory, 'data')
  const { uid, gid } = statSync(data)
  for (const ending of ['crt', 'key']) {
    const file = join(data, `server.${ending}`)
    writeFileSync(file, readFileSync(join(directory, `${name}.${ending}`)), { mode: 0o600 })
    chownSync(file, uid, gid)
  }
  const set = async (state: 'on' | 'off') => {
    await postgres.query(`ALTER SYSTEM SET ssl = ${state}`)
    await postgres.query('SELECT pg_reload_conf()')
  }
  await set('on')
  cleanup(t, () => set('off'))
}

test('a read-only server and one that does not flush commits are reported at the start', async (t) => {
  const url = await postgres.createDatabase()
  const database = new URL(url).pathname.slice(1)
  await postgres.query(`ALTER DATABASE ${database} SET default_transaction_read_only = on`)
  const store = await openPostgres(t, url)
  const { up, problem } = await store.describe()
  assert.equal(up, false)
  assert.match(problem ?? '', /^postgres fails temporarily: 25006: /)
  await postgres.query(`ALTER DATABASE ${database} RESET default_transaction_read_only`)
  assert.equal((await store.describe()).up, true)

  await postgres.query(`ALTER DATABASE ${database} SET synchronous_commit = off`)
  await assert.rejects(open(url), { code: 'failed_precondition', message: /synchronous_commit is off/ })
})

test('a database that is not UTF8 is refused at the start, by migrate and by doctor, and stays empty', async (t) => {
  for (const encoding of ['LATIN1', 'SQL_ASCII']) {
    const name = `encoded_${encoding.toLowerCase()}`
    await postgres.query(`CREATE DATABASE ${name} ENCODING '${encoding}' LOCALE 'C' TEMPLATE template0`)
    const url = postgres.url(name)
    const expected = new RegExp(`the database has the encoding ${encoding}.* ENCODING 'UTF8'`)

    await assert.rejects(open(url), { code: 'failed_precondition', message: expected })
    for (const command of ['migrate', 'doctor']) {
      const { code, stdout, stderr } = await runCommand([command, '--postgres-url', url], { dataDir: tempDirectory(t) })
      assert.equal(code, 1)
      assert.match((stdout + stderr).replaceAll(/\s+/g, ' '), expected)
    }
    assert.deepEqual(await tablesOf(url), [])
  }
})

test('a rule on a table that Millrace inserts into is refused at the start and reported by doctor, with its name', async (t) => {
  for (const [table, event] of [
    ['events', 'INSERT'],
    ['dead_letters', 'UPDATE'],
  ] as const) {
    const url = await postgres.createDatabase()
    await migrateStore(url)
    await postgres.query(`CREATE RULE "no Rows" AS ON ${event} TO ${table} DO INSTEAD NOTHING`, [], url)
    const expected = new RegExp(`the table ${table} has the rule "no Rows".*DROP RULE "no Rows" ON ${table}`)

    await assert.rejects(open(url), { code: 'failed_precondition', message: expected })
    const doctor = await runCommand(['doctor', '--postgres-url', url], { dataDir: tempDirectory(t) })
    assert.equal(doctor.code, 1)
    assert.match(doctor.stdout.replaceAll(/\s+/g, ' '), expected)
    await postgres.query(`DROP RULE "no Rows" ON ${table}`, [], url)
    await (await open(url)).close()
  }
})

test('a table that was altered before the start pauses landing and makes no dead letter', async (t) => {
  const url = await postgres.createDatabase()
  await migrateStore(url)
  await postgres.query('ALTER TABLE events DROP COLUMN key', [], url)
  const store = await openPostgres(t, url)
  const entries = entriesOf(
    [
      { id: '1', type: 'a' },
      { id: '2', type: 'a' },
    ],
    1,
  )

  await assert.rejects(store.landEvents(entries), { code: 'failed_precondition', message: /42703: .*key/ })
  await postgres.query('ALTER TABLE events ADD COLUMN key text', [], url)
  assert.equal((await store.landEvents(entries)).landed, 2)
})

/** Ways to lose the guarantee of one row for each event, with the cure that is named. */
const withoutKey = [
  ['without a primary key', 'ALTER TABLE events DROP CONSTRAINT events_pkey', /ADD PRIMARY KEY/],
  [
    'with a deferrable key',
    'ALTER TABLE events DROP CONSTRAINT events_pkey, ADD PRIMARY KEY (event_id) DEFERRABLE',
    /DROP CONSTRAINT events_pkey, ADD PRIMARY KEY/,
  ],
  [
    'with a key over more columns',
    'ALTER TABLE events DROP CONSTRAINT events_pkey, ADD PRIMARY KEY (event_id, received_at)',
    /DROP CONSTRAINT events_pkey, ADD PRIMARY KEY/,
  ],
  [
    'with a key over some rows',
    "ALTER TABLE events DROP CONSTRAINT events_pkey; CREATE UNIQUE INDEX ON events (event_id) WHERE topic <> 'events'",
    /ADD PRIMARY KEY/,
  ],
  [
    'partitioned by time',
    `ALTER TABLE events RENAME TO events_before;
     CREATE TABLE events (LIKE events_before) PARTITION BY RANGE (received_at);
     CREATE TABLE events_all PARTITION OF events DEFAULT`,
    /is partitioned/,
  ],
] as const

const noKey = /^postgres refuses: events has no primary key event_id, so an event could get two rows; /
const wrongKey =
  /^postgres refuses: the primary key events_pkey of events is deferrable or has other columns than event_id, so /

test('no event lands in a table that could hold two rows for it, until the statement that is named is run', async (t) => {
  for (const [how, change, cure] of withoutKey) {
    const url = await postgres.createDatabase()
    await migrateStore(url)
    await postgres.query(change, [], url)
    const store = await openPostgres(t, url)
    const entries = entriesOf([{ id: '1', type: 'a' }], 1)
    const fault = cure.source.includes('DROP') ? wrongKey : noKey
    await assert.rejects(
      store.landEvents(entries),
      ({ code, message }: MillraceError) => code === 'failed_precondition' && fault.test(message) && cure.test(message),
      how,
    )
    const { up, problem } = await store.describe()
    assert.equal(up, true)
    assert.match(problem ?? '', fault, how)
    assert.deepEqual(await postgres.query('SELECT count(*)::int AS rows FROM events', [], url), [{ rows: 0 }])
    const [, statement] = /run "(.*)"$/.exec(problem ?? '') ?? []
    if (statement === undefined) continue
    await postgres.query(statement, [], url)
    assert.equal((await store.landEvents(entries)).landed, 1)
  }
})

test('without the right to create temporary tables nothing lands, until the statement that is named is run', async (t) => {
  const url = await postgres.createDatabase()
  await migrateStore(url)
  const database = new URL(url).pathname.slice(1)
  await postgres.query(`CREATE ROLE "No temp" LOGIN; REVOKE TEMPORARY ON DATABASE ${database} FROM PUBLIC`)
  await postgres.query('GRANT ALL ON ALL TABLES IN SCHEMA public TO "No temp"', [], url)
  await postgres.query('GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "No temp"', [], url)
  const store = await openPostgres(t, postgres.url(database, 'No%20temp'))
  const entries = entriesOf([{ id: '1', type: 'a' }], 1)
  const grant = `GRANT TEMPORARY ON DATABASE ${database} TO "No temp"`
  const message = `postgres refuses: the role may not create the temporary table for rows that may exist: run "${grant}"`

  await assert.rejects(store.landEvents(entries), { code: 'failed_precondition', message })
  assert.equal((await store.describe()).problem, message)

  await postgres.query(grant)
  assert.equal((await store.landEvents([...entries, ...entries])).duplicates, 1)
  assert.equal((await store.describe()).problem, null)
})

test('without a primary key the server starts and takes events; its log, the status and doctor say why none lands', async (t) => {
  const url = await postgres.createDatabase()
  await migrateStore(url)
  await postgres.query('ALTER TABLE events DROP CONSTRAINT events_pkey', [], url)
  // A paused turn would be retried until the drain time is over.
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: url, MILLRACE_DRAIN_MS: '0' } })
  assert.equal((await grpcClient(t, server).publish({ events: orders(10) })).accepted, 10n)
  await eventually(async () => {
    assert.match((await landingProblem(server.http)) ?? '', /^postgres refuses: events has no primary key/)
  })
  assert.ok(server.logLines().some(({ level, message }) => level === 'warn' && noKey.test(String(message))))
  await eventually(async () => {
    const { store, causes } = await getStatus(server.http)
    assert.equal(store.up, true)
    const reasons = causes.map(({ component, reason }) => `${component} ${reason}`)
    assert.deepEqual(reasons.toSorted(), ['landing failed_precondition', 'store failed_precondition'])
  })
  const beside = await runCommand(['doctor', '--postgres-url', url], { dataDir: server.dataDir })
  assert.equal(beside.code, 1)
  assert.match(beside.stdout, /ok +server +process .*\n.*problem +store +postgres refuses: events has no primary key/s)
  await postgres.query('ALTER TABLE events RENAME TO elsewhere', [], url)
  const gone = /there is no table events; .*: events are accepted now and land once this is repaired$/
  await eventually(() => assert.ok(server.logLines().some(({ message }) => gone.test(String(message)))))
  await postgres.query('ALTER TABLE elsewhere RENAME TO events', [], url)
  await server.stop()
  const doctor = await runCommand(['doctor', '--postgres-url', url], { dataDir: tempDirectory(t) })
  assert.equal(doctor.code, 1)
  assert.match(doctor.stdout, /problem +store +postgres refuses: events has no primary key/)
  await postgres.query('ALTER TABLE events RENAME TO elsewhere', [], url)
  const withLog = await runCommand(['doctor', '--postgres-url', url], { dataDir: server.dataDir })
  assert.match(withLog.stdout, /problem +store +postgres refuses: 42P01: there is no table events; restore it/)
})

test('a key that is removed while events land stops landing until it is back', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, url)
  const entries = entriesOf([{ id: '1', type: 'a' }], 1)
  assert.equal((await store.landEvents(entries)).landed, 1)
  const rows = () => postgres.query('SELECT count(*)::int AS rows FROM events', [], url)

  await postgres.query('ALTER TABLE events DROP CONSTRAINT events_pkey', [], url)
  await eventually(() => assert.rejects(store.landEvents(entries), { code: 'failed_precondition' }))
  const [before] = await rows()
  await assert.rejects(store.landEvents(entries), { message: /no primary key event_id/ })
  assert.deepEqual(await rows(), [before])

  await postgres.query('DELETE FROM events', [], url)
  await postgres.query('ALTER TABLE events ADD PRIMARY KEY (event_id)', [], url)
  assert.equal((await store.landEvents(entries)).landed, 1)
  assert.equal((await store.landEvents(entries)).duplicates, 1)
})

test('a server that does not flush, an unlogged table and a partitioned one with a key are warnings of the start and of doctor', async (t) => {
  const url = await postgres.createDatabase()
  await migrateStore(url)
  const partition = `ALTER TABLE events RENAME TO events_before;
    CREATE TABLE events (LIKE events_before, PRIMARY KEY (event_id)) PARTITION BY HASH (event_id);
    CREATE TABLE events_all PARTITION OF events FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    ALTER TABLE dead_letters SET UNLOGGED`
  await postgres.query(partition, [], url)
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: url } })
  await grpcClient(t, server).publish({ events: orders(10) })
  await drained(server)
  const doctor = await runCommand(['doctor', '--postgres-url', url], { dataDir: tempDirectory(t) })

  assert.equal(doctor.code, 0)
  for (const warning of [/fsync is off/, /the table dead_letters is UNLOGGED/, /the table events is partitioned/]) {
    assert.ok(server.logLines().some(({ level, message }) => level === 'warn' && warning.test(String(message))))
    assert.match(doctor.stdout, warning)
  }
})

test('a Unix socket in the URL, and TLS that is only preferred, reach a server without TLS', async () => {
  const { directory, port } = postgres
  for (const url of [
    `postgres:///postgres?host=${directory}&port=${port}&user=postgres`,
    `postgres://postgres@/postgres?host=${directory}&port=${port}`,
    `postgres://postgres@${encodeURIComponent(directory)}:${port}/postgres`,
    `${postgres.url()}?sslmode=prefer`,
  ]) {
    const store = await open(url)
    const { up, problem } = await store.describe()
    await store.close()
    assert.deepEqual([up, problem], [true, null], url)
  }
})

test('the server probes a direct connection that is silent for 10 s, so that a vanished client holds no locks', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, url)
  assert.equal((await store.landEvents(entriesOf([{ id: '1', type: 'a' }], 1))).landed, 1)
  const statement = `SELECT client_port AS port FROM pg_stat_activity
    WHERE application_name = 'millrace' AND datname = current_database()`
  // The session of the migration may be about to end.
  await eventually(async () => {
    const ports = (await postgres.query(statement, [], url)).map(({ port }) => Number(port))
    assert.ok(ports.length > 0)
    for (const port of ports) {
      const dueInMs = keepaliveInMs({ localPort: postgres.port, remotePort: port })
      assert.ok(dueInMs !== null && dueInMs <= 10_000, `the next probe is due in ${dueInMs} ms`)
    }
  })
})

/** When the kernel sends the next keepalive probe on a connection of 127.0.0.1; null if it sends none. */
function keepaliveInMs({ localPort, remotePort }: { localPort: number; remotePort: number }): number | null {
  const [local, remote] = [localPort, remotePort].map((port) => `:${port.toString(16).toUpperCase().padStart(4, '0')}`)
  // Addresses, state, queues, then the timer: its kind (02: keepalive) and the hundredths of a second until it ends.
  // https://www.kernel.org/doc/Documentation/networking/proc_net_tcp.txt
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  const row = rows.find(([, from, to]) => from?.endsWith(local!) && to?.endsWith(remote!))
  const [kind, due] = row?.[5]?.split(':') ?? []
  return kind === '02' ? Number.parseInt(due!, 16) * 10 : null
}
