// API keys: made, listed, checked and revoked over gRPC, HTTP and the command line; and the first key of a server.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from '../../src/client/connect.ts'
import { loadConfig } from '../../src/config/config.ts'
import { startServer } from '../../src/server/start-server.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { cleanup } from '../support/cleanup.ts'
import { request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { runCommand } from '../support/run-command.ts'
import { serverEnvironment } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const post = (body: object, headers = {}) => ({ method: 'POST', body: JSON.stringify(body), headers: jsonAnd(headers) })
const jsonAnd = (headers: object) => ({ 'content-type': 'application/json', ...headers })

test('a key is made, listed, checked and revoked over gRPC, and HTTP shows the same', async (t) => {
  const server = await startInProcess(t)
  const { keys } = clientOf(t, server)

  const limits = { topics: ['orders'], types: ['order.**'], ratePerSecond: 7, expiresInSeconds: 3600 }
  const { key, description } = await keys.create({ name: 'shop', scopes: ['read', 'publish'], ...limits })
  await keys.create({ name: 'shop', scopes: ['admin'] })

  assert.deepEqual((await keys.list()).keys.map(({ name, scopes }) => [name, scopes.join()]).sort(), [
    ['shop', 'admin'],
    ['shop', 'publish,read'],
  ])
  const { expiresInSeconds: _, ...patterns } = limits
  assert.deepEqual(await keys.check(key), {
    ...{ keyId: description.keyId, name: 'shop', scopes: ['publish', 'read'], ...patterns },
    expiresAtMs: description.expiresAtMicros! / 1000,
  })
  const page = JSON.parse((await request(server.http, '/v1/keys?limit=1')).text)
  const rest = JSON.parse((await request(server.http, `/v1/keys?cursor=${page.next_cursor}`)).text)
  const shown = [...page.keys, ...rest.keys].find(({ key_id }) => key_id === description.keyId)
  assert.deepEqual([shown.types, shown.rate_per_second, shown.revoked_at], [['order.**'], 7, null])
  assert.deepEqual([page.keys.length, rest.keys.length, rest.next_cursor], [1, 1, null])

  await keys.revoke(description.keyId)
  await assert.rejects(keys.check(key), { code: 'unauthenticated' })
  await assert.rejects(keys.revoke('unknown'), { code: 'not_found' })
  assert.ok(!server.stderr.includes(key))
})

test('a request that is not right is refused by the name of its field', async (t) => {
  const server = await startInProcess(t)
  const right = { name: 'a', scopes: ['read'] }
  const wrong = {
    name: { name: 'a b' },
    scopes: { scopes: ['write'] },
    topics: { topics: ['a*'] },
    types: { types: [] },
    rate_per_second: { rate_per_second: 0.5 },
    expires_in: { expires_in: 0 },
    other: { other: 1 },
  }
  for (const [field, members] of Object.entries(wrong)) {
    const { status, text } = await request(server.http, '/v1/keys', post({ ...right, ...members }))
    assert.deepEqual([status, JSON.parse(text).field], [400, field], text)
  }
  for (let made = 0; made < 2; made++) {
    assert.equal((await request(server.http, '/v1/keys', post(right))).status, 201)
  }
  const third = await request(server.http, '/v1/keys', post(right))
  assert.deepEqual([third.status, JSON.parse(third.text).code], [409, 'already_exists'])
})

test('a ticket is made with a key, allows no more, and ends with it', async (t) => {
  const server = await startInProcess(t)
  const { keys } = clientOf(t, server)
  const scopes = ['subscribe', 'publish'] as const
  const { key, description } = await keys.create({ name: 'shop', scopes, topics: ['eu.*'] })
  const ticketOf = async (body: object, authorization = `Bearer ${key}`) => {
    const { status, text } = await request(server.http, '/v1/tickets', post(body, { authorization }))
    return { status, ...JSON.parse(text) }
  }

  const { status, ticket, usable_until } = await ticketOf({ topics: ['eu.orders', 'us.orders'], usable_for: 900 })

  assert.equal(status, 201)
  assert.match(ticket, /^mrt_/)
  assert.ok(Math.abs(Date.parse(usable_until) - Date.now() - 900_000) < 60_000)
  assert.equal((await ticketOf({ scopes: ['publish'] })).status, 400)
  assert.equal((await ticketOf({ scopes: ['read'] })).status, 403)
  assert.equal((await ticketOf({ usable_for: 901 })).status, 400)
  for (const wrong of [`Bearer ${ticket}`, `Basic ${key}`, 'Bearer mr_x'])
    assert.equal((await ticketOf({}, wrong)).status, 401)
  assert.equal((await ticketOf({})).status, 201)
  await keys.revoke(description.keyId)
  assert.equal((await ticketOf({})).status, 401)
})

test('the command line makes a key, alone on stdout, and lists, checks and revokes it', async (t) => {
  const server = await startInProcess(t)
  const { dataDir } = server
  const keys = (...words: string[]) => runCommand(['keys', ...words], { dataDir })

  const made = await keys('create', 'shop', '--scopes', 'publish,read', '--topics', 'orders,eu.*', '--expires', '30d')
  const key = made.stdout.trim()

  assert.match(made.stdout, /^mr_\w{12}_\w{38}\n$/)
  assert.ok(!made.stderr.includes(key))
  const keyId = key.slice(3, 15)
  const listed = await keys('list')
  assert.match(listed.stdout, new RegExp(`${keyId} +shop +valid for 719 h +publish,read +orders,eu.\\* +all +– +never`))
  assert.ok(!listed.stdout.includes(key))
  const checked = await keys('check', key)
  assert.match(checked.stdout, /is well formed; it is valid: the key of shop for publish, read; topics orders, eu\.\*/)
  assert.equal((await keys('revoke', keyId)).code, 0)
  const refused = await keys('check', key)
  assert.deepEqual([refused.code, /the server refuses it/.test(refused.stdout)], [1, true])
  assert.deepEqual((await keys('check', `${key}x`)).code, 1)
  await server.stop()
  const offline = await keys('check', key)
  assert.deepEqual([offline.code, /no server has said/.test(offline.stdout)], [0, true])
  assert.equal((await keys('create', 'a', '--scopes', 'read', '--expires', 'soon')).code, 2)
})

test('a server that needs keys makes one admin key and tells it once; commands on its machine find it', async (t) => {
  const dataDir = tempDirectory(t)
  const config = loadConfig({ env: serverEnvironment(dataDir), cwd: dataDir })
  const told: string[] = []
  const start = async () => {
    const server = await startServer(
      { ...config, host: '0.0.0.0' },
      {
        version: '0.0.0',
        logger: createLogger({ level: 'fatal' }),
        onFirstKey: ({ key }) => told.push(key),
      },
    )
    cleanup(t, () => server.close())
    return server
  }

  await (await start()).close()
  const server = await start()

  assert.equal(told.length, 1)
  assert.equal(readFileSync(join(dataDir, 'admin.key'), 'utf8'), `${told[0]}\n`)
  const client = connect({ addresses: [server.addresses.grpc!.replace('0.0.0.0', '127.0.0.1')], key: told[0]! })
  cleanup(t, async () => client.close())
  const scopes = ['publish', 'subscribe', 'work', 'read', 'operate', 'admin']
  assert.deepEqual((await client.keys.check(told[0]!)).scopes, scopes)
  writeFileSync(join(dataDir, 'other.key'), 'two words')
  const withFile = await runCommand(['keys', 'list', '--key-file', join(dataDir, 'other.key')], { dataDir })
  assert.deepEqual([withFile.code, /\[redacted\]/.test(withFile.stderr)], [1, true])
})
