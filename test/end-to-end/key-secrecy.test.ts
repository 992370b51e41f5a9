// Where the secret of a key is: with who has made it, in the file of the first key, and nowhere else.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from '../../src/client/connect.ts'
import { cleanup } from '../support/cleanup.ts'
import { request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { RedisServer } from '../support/redis-server.ts'
import { sharedPostgres } from '../support/shared-services.ts'

/** All files of a directory, by path. */
function filesIn(directory: string): readonly (readonly [string, Buffer])[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => [name, readFileSync(join(parentPath, name))] as const)
}

test('fault S8: two servers on one Redis make one key, and its secret is in no log, table, file or metric', async (t) => {
  const redis = await RedisServer.create()
  cleanup(t, () => redis.destroy())
  const postgres = await sharedPostgres()
  const database = await postgres.createDatabase()
  const env = { MILLRACE_AUTH: 'keys', MILLRACE_REDIS_URL: redis.url, MILLRACE_POSTGRES_URL: database }
  const firstKeys: string[] = []
  const start = () => startInProcess(t, { env, onFirstKey: ({ key }) => firstKeys.push(key) })

  const servers = await Promise.all([start(), start()])

  assert.equal(firstKeys.length, 1)
  const key = firstKeys[0]!
  const ends: string[] = []
  for (const server of servers) {
    const client = connect({ addresses: [server.grpc], key })
    cleanup(t, () => client.close())
    await client.publishEvents([{ type: 'a' }])
    ends.push((await client.keys.create({ name: 'made', scopes: ['read'] })).key)
  }
  const authorization = `Bearer ${key}`
  const post = { method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body: '{}' }
  const { ticket } = JSON.parse((await request(servers[0].http, '/v1/tickets', post)).text)
  await request(servers[1].http, `/v1/status?ticket=${ticket}`)
  const loggedIn = await request(servers[0].http, '/v1/session', { ...post, body: JSON.stringify({ key }) })
  const cookie = loggedIn.headers.get('set-cookie')?.split(';')[0] ?? ''
  // Every server takes it.
  assert.equal((await request(servers[1].http, '/v1/status', { headers: { cookie } })).status, 200)
  const metrics = await request(servers[0].http, '/metrics', { headers: { authorization } })
  assert.equal(metrics.status, 200)
  for (const server of servers) await server.stop()

  const tables = await postgres.query(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`, [], database)
  const rows: string[] = []
  for (const { tablename } of tables as { tablename: string }[]) {
    rows.push(JSON.stringify(await postgres.query(`SELECT t::text FROM "${tablename}" t`, [], database)))
  }
  assert.ok(
    rows.some((text) => text.includes(key.slice(3, 15))),
    'the keys are among the rows',
  )
  const places = [
    ...servers.flatMap(({ dataDir }) => filesIn(dataDir)).filter(([name]) => name !== 'admin.key'),
    ...filesIn(redis.directory),
    ...servers.map(({ stderr }) => ['log', Buffer.from(stderr)] as const),
    ['metrics', Buffer.from(metrics.text)] as const,
    ...rows.map((text) => ['rows', Buffer.from(text)] as const),
  ]
  for (const [name, bytes] of places) {
    for (const secret of [key, ...ends].map((each) => each.slice(16))) assert.ok(!bytes.includes(secret), name)
    for (const each of [ticket, cookie.slice(30)]) assert.ok(!bytes.includes(each), name)
  }
  assert.deepEqual(
    servers.flatMap(({ dataDir }) => filesIn(dataDir)).filter(([name]) => name === 'admin.key').length,
    1,
  )
})
