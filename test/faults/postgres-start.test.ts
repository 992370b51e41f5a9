// Starting on a misconfigured PostgreSQL: the start is refused with a clear error, or the tables are correct.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chownSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { Client } from 'pg'
import { migrateStore, openStore } from '../../src/store/open-store.ts'
import { entriesOf } from '../conformance/landing-entries.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { openPostgres } from '../support/postgres-store.ts'
import { runCommand, runCommandProcess } from '../support/run-command.ts'
import { ServerProcess } from '../support/server-process.ts'
import { skip } from '../support/skip.ts'
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
