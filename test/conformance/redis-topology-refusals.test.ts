// A URL that does not match the topology of its servers is refused when the log is opened, with the URL to use instead.

import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { MillraceError } from '../../src/errors.ts'
import { openRedisConnection } from '../../src/event-log/redis/connection/open-redis-connection.ts'
import { cleanup } from '../support/cleanup.ts'
import { freePort } from '../support/free-port.ts'
import { RedisCluster } from '../support/redis-cluster.ts'
import { RedisSentinel } from '../support/redis-sentinel.ts'
import { type RedisOptions, RedisServer } from '../support/redis-server.ts'

const silent = { info() {}, warn() {} }

async function startServer(t: TestContext, options: RedisOptions = {}): Promise<RedisServer> {
  const server = await RedisServer.create(options)
  cleanup(t, () => server.destroy())
  return server
}

async function refused(url: string, message: RegExp, code = 'failed_precondition'): Promise<void> {
  await assert.rejects(openRedisConnection({ url, logger: silent, maxReplyMs: 2_000 }), (error) => {
    assert.ok(error instanceof MillraceError)
    assert.deepEqual([error.code, message.test(error.message)], [code, true], error.message)
    assert.doesNotMatch(error.message, /secret/)
    return true
  })
}

test('a single server that is a node of a Cluster, and a list of servers that are not', async (t) => {
  const cluster = await RedisCluster.create()
  cleanup(t, () => cluster.destroy())
  const server = await startServer(t)
  await refused(cluster.masters[0]!.url, /node of a Cluster: name the Cluster as a list/)
  await refused(`${server.url},${server.url}`, /no node of a Cluster.*name one server, redis:\/\/127/)
  const connection = await openRedisConnection({ url: `${cluster.masters[1]!.url},`, logger: silent })
  assert.equal(connection.masters().length, 3)
  connection.close()
})

test('a Sentinel given as a server, a server given as a Sentinel, and a master name that the Sentinel does not know', async (t) => {
  const sentinel = await RedisSentinel.create()
  cleanup(t, () => sentinel.destroy())
  await refused(`redis://127.0.0.1:${sentinel.port}`, /is a Sentinel: name the master it watches/)
  await refused(`redis+sentinel://127.0.0.1:${sentinel.master.port}/main`, /is no Sentinel/)
  await refused(`redis+sentinel://127.0.0.1:${sentinel.port}/other`, /knows no master "other"/)
})

test('an unreachable server, a wrong password, and a missing one', async (t) => {
  const port = await freePort()
  await refused(`redis://127.0.0.1:${port}`, /cannot be reached/, 'unavailable')
  await refused(`redis://127.0.0.1:${port},`, /cannot be reached/, 'unavailable')
  await refused(`redis+sentinel://127.0.0.1:${port}/main`, /cannot be reached/, 'unavailable')
  const server = await startServer(t)
  await server.command('CONFIG', 'SET', 'requirepass', 'right')
  cleanup(t, async () => {})
  await refused(`redis://:secret@127.0.0.1:${server.port}`, /refuses user or password: WRONGPASS/)
  await refused(server.url, /refuses user or password: NOAUTH/)
  const connection = await openRedisConnection({ url: `redis://:right@127.0.0.1:${server.port}`, logger: silent })
  connection.close()
})

test('TLS: a certificate of an unknown CA is refused, one of a known CA is accepted, and plain text is never used', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-tls-'))
  cleanup(t, () => rmSync(directory, { recursive: true, force: true }))
  const [key, certificate] = ['key.pem', 'certificate.pem'].map((name) => join(directory, name)) as [string, string]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', certificate]
  execFileSync('openssl', [...request, ...subject], { stdio: 'ignore' })
  const tlsPort = await freePort()
  const server = await startServer(t, {
    settings: [
      ['tls-port', String(tlsPort)],
      ['tls-cert-file', certificate],
      ['tls-key-file', key],
      ['tls-ca-cert-file', certificate],
      ['tls-auth-clients', 'no'],
    ],
  })
  const url = `rediss://127.0.0.1:${tlsPort}`
  await refused(url, /certificate of Redis at .* is not trusted.*NODE_EXTRA_CA_CERTS/)
  await refused(`rediss://127.0.0.1:${server.port}`, /cannot be reached/, 'unavailable')

  const opener = fileURLToPath(
    new URL('../../src/event-log/redis/connection/open-redis-connection.ts', import.meta.url),
  )
  const script = `import { openRedisConnection } from ${JSON.stringify(opener)}
    const logger = { info() {}, warn() {} }
    const connection = await openRedisConnection({ url: ${JSON.stringify(url)}, logger })
    console.log(String(await connection.command('SET', 'a', '1')))
    connection.close()`
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: certificate }
  const run = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], { env, encoding: 'utf8' })
  assert.equal(run.stdout, 'OK\n', run.stderr)
})
