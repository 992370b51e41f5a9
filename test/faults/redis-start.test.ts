// A Redis that cannot give the promised durability or rejects the login: the start is refused with a clear error; if it
// changes while the server runs, no more events are accepted.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import type { EventLog, LogHealth } from '../../src/event-log/event-log.ts'
import { usedCommands } from '../../src/event-log/redis/guard/used-commands.ts'
import { type OpenRedisLogOptions, openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import { batchOf, group, stream, topic } from '../conformance/event-log-verbs.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { type RedisOptions, RedisServer } from '../support/redis-server.ts'
import { runCommandProcess } from '../support/run-command.ts'
import { tempDirectory } from '../support/temp-directory.ts'

type Options = Partial<OpenRedisLogOptions>

async function startRedis(t: TestContext, options: RedisOptions = {}): Promise<RedisServer> {
  const redis = await RedisServer.create(options)
  cleanup(t, () => redis.destroy())
  return redis
}

interface Opened {
  readonly eventLog: EventLog
  readonly health: () => LogHealth
  readonly warnings: readonly string[]
}

async function open(t: TestContext, url: string, options: Options = {}): Promise<Opened> {
  const warnings: string[] = []
  const said: LogHealth[] = []
  const eventLog = await openRedisLog({
    url,
    prefix: 'test',
    logger: { info() {}, warn: (_fields: unknown, text?: string) => void warnings.push(String(text)) },
    now: Date.now,
    elapsedMs: () => performance.now(),
    checkEveryMs: 50,
    onHealth: (health) => void said.push(health),
    ...options,
  })
  cleanup(t, () => eventLog.close())
  return { eventLog, health: () => said.at(-1)!, warnings }
}

/** The error message of a refused start. */
async function refusal(t: TestContext, url: string, options: Options = {}): Promise<string> {
  const failure = await open(t, url, options).then(
    () => null,
    (thrown: unknown) => thrown,
  )
  assert.ok(failure instanceof MillraceError, 'the log was opened')
  assert.equal(failure.code, 'failed_precondition', failure.message)
  return failure.message
}

const disk = { durability: { level: 'disk' } } as const

test('fault B2: durability disk is refused when Redis does not flush before it replies, with the reason and the fix', async (t) => {
  const redis = await startRedis(t, { flushes: true })
  const { health } = await open(t, redis.url, disk)
  assert.deepEqual(health(), { problem: null, persistence: 'aof-always', isUnverified: false })
  const wrong: [name: string, value: string, says: RegExp][] = [
    ['appendfsync', 'everysec', /appendfsync is everysec: set it to always, or set MILLRACE_DURABILITY=broker/],
    ['appendfsync', 'no', /appendfsync is no: set it to always/],
    ['no-appendfsync-on-rewrite', 'yes', /no-appendfsync-on-rewrite is yes.*set it to no/],
    ['appendonly', 'no', /appendonly is no: set it to yes/],
  ]
  for (const [name, value, says] of wrong) {
    const before = name === 'appendfsync' ? 'always' : name === 'appendonly' ? 'yes' : 'no'
    await redis.command('CONFIG', 'SET', name, value)
    assert.match(await refusal(t, redis.url, disk), says)
    await redis.command('CONFIG', 'SET', name, before)
  }
})

test('fault B2: when CONFIG is denied disk is refused, unless the operator vouches for it: then it is reported as unverified', async (t) => {
  const redis = await startRedis(t, { flushes: true, settings: [['user', 'app on >word ~* &* +@all -config']] })
  const url = redis.url.replace('//', '//app:word@')

  assert.match(await refusal(t, url, disk), /CONFIG GET is denied.*MILLRACE_REDIS_TRUST_DISK=true/)
  const { health } = await open(t, url, { ...disk, isDiskTrusted: true })
  assert.deepEqual(health(), { problem: null, persistence: 'unknown', isUnverified: true })
})

test('the loss that durability broker allows is logged at the start', async (t) => {
  const redis = await startRedis(t)
  const losses: [name: string, value: string, persistence: string, says: RegExp][] = [
    ['appendfsync', 'everysec', 'aof-everysec', /about the last two seconds/],
    ['appendfsync', 'no', 'aof-no', /what was not flushed/],
    ['appendonly', 'no', 'none', /appendonly is no: a restart of Redis loses/],
    ['save', '"60 1"', 'rdb', /appendonly is no: a restart of Redis loses/],
  ]
  for (const [name, value, persistence, says] of losses) {
    await redis.command('CONFIG', 'SET', name, value)
    const { health, warnings } = await open(t, redis.url)
    assert.equal(health().persistence, persistence)
    assert.match(warnings.join('\n'), says)
  }
})

test('fault B3: an eviction policy is refused at the start, and stops publishing when it is set later', async (t) => {
  const redis = await startRedis(t)
  const { eventLog, health } = await open(t, redis.url)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  await eventLog.append(stream(), [batchOf(['before'])])
  const consumer = await eventLog.consume(topic, group, { leaseMs: 30_000 })

  await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')

  assert.match(await refusal(t, redis.url), /maxmemory-policy is allkeys-lru.*set it to noeviction/)
  await eventually(() => assert.match(health().problem?.message ?? '', /allkeys-lru/))
  await assert.rejects(eventLog.append(stream(), [batchOf(['refused'])]), { code: 'durability_lost' })
  const taken = await consumer.next({ maxEvents: { high: 9, normal: 9, low: 9 }, maxWaitMs: 1000 })
  assert.deepEqual(await consumer.settle(taken.map((delivery) => ({ delivery, landed: 1, dead: 0 }))), [])

  await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  await eventually(() => assert.equal(health().problem, null))
  await eventLog.append(stream(), [batchOf(['after'])])
  const { topics } = await eventLog.describe()
  assert.deepEqual(
    topics[0]?.groups.map(({ accepted, landed, waiting }) => ({ accepted, landed, waiting })),
    [{ accepted: 2, landed: 1, waiting: 1 }],
  )
})

test('fault B22: each denied command is named, and a wrong password is reported with its setting', async (t) => {
  const redis = await startRedis(t, { settings: [['user', 'app on >word ~* &* +@all']] })
  const url = redis.url.replace('//', '//app:word@')
  await open(t, url)
  for (const [right, tried] of Object.entries(usedCommands)) {
    if (tried === null) continue
    await redis.command('ACL', 'SETUSER', 'app', '+@all', `-${right}`)
    assert.ok((await refusal(t, url)).includes(right), right)
  }
  await redis.command('ACL', 'SETUSER', 'app', '+@all', 'resetkeys', '~other:*')
  assert.match(await refusal(t, url), /keys/)

  assert.match(await refusal(t, redis.url.replace('//', '//app:wrong@')), /password.*MILLRACE_REDIS_URL/)
})

test('fault B22: an untrusted or missing certificate is refused, and nothing is sent in plain text', async (t) => {
  const directory = tempDirectory(t)
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', certificate]
  execFileSync('openssl', [...request, ...subject], { stdio: 'ignore' })
  const tls = [
    ['tls-cert-file', certificate],
    ['tls-key-file', key],
    ['tls-ca-cert-file', certificate],
    ['tls-auth-clients', 'no'],
  ] as const
  const secure = await freePort()
  const redis = await startRedis(t, { settings: [...tls, ['tls-port', String(secure)]] })

  assert.match(await refusal(t, `rediss://127.0.0.1:${secure}`), /not trusted: .*NODE_EXTRA_CA_CERTS/)
  const failure = await open(t, `rediss://127.0.0.1:${redis.port}`, { maxReplyMs: 500 }).catch((thrown) => thrown)
  assert.ok(failure instanceof MillraceError)
  const env = {
    ...{ MILLRACE_REDIS_URL: `rediss://127.0.0.1:${secure}`, NODE_EXTRA_CA_CERTS: certificate },
    ...{
      MILLRACE_POSTGRES_URL: 'postgres://nobody@127.0.0.1:1/none',
      MILLRACE_HTTP_PORT: '0',
      MILLRACE_GRPC_PORT: '0',
    },
  }
  const doctor = await runCommandProcess(t, ['doctor', '--output', 'json'], { dataDir: directory, env })
  assert.match(doctor.stdout, /"subject":"redis","state":"ok"/, doctor.stderr)
})

test('fault B23: replicated_disk is refused with its name when Redis has no WAITAOF', async (t) => {
  const any = await startRedis(t)
  const isMissing = (await any.command('COMMAND', 'INFO', 'WAITAOF')).includes('-1')
  const redis = isMissing ? any : await startRedis(t, { settings: [['rename-command', 'WAITAOF ']] })
  const message = await refusal(t, redis.url, { durability: { level: 'replicated_disk', replicas: 1 } })
  assert.match(
    message,
    /no WAITAOF: upgrade to 7\.2 or newer for replicated_disk, or set MILLRACE_DURABILITY=replicated\(n\)/,
  )
})

test('a replica, and a server older than 7.0, are refused', async (t) => {
  const master = await startRedis(t)
  const replica = await startRedis(t, { settings: [['replicaof', `127.0.0.1 ${master.port}`]] })
  assert.match(await refusal(t, replica.url), /is a replica of 127\.0\.0\.1:\d+: name the master/)

  // Without the commands that Redis 7.0 added.
  const old = await startRedis(t, { settings: [['rename-command', 'SPUBLISH ']] })
  assert.match(await refusal(t, old.url), /7\.0 or newer is needed/)
})

test('with fewer replicas than required the server starts, is not ready, and every append is unknown', async (t) => {
  const master = await startRedis(t)
  const { eventLog, health } = await open(t, master.url, {
    durability: { level: 'replicated', replicas: 1 },
    maxReplyMs: 1000,
  })
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  await eventually(() => assert.match(health().problem?.message ?? '', /0 of 1 needed replicas are connected/))
  await assert.rejects(eventLog.append(stream(), [batchOf(['too early'])]), { code: 'unavailable' })

  const replica = await startRedis(t, { settings: [['replicaof', `127.0.0.1 ${master.port}`]] })
  await eventually(() => assert.equal(health().problem, null))
  // A replica that rewrites its append-only file after the first copy may acknowledge late.
  await eventually(() => eventLog.append(stream(), [batchOf(['in time'])]))
  await replica.stop('SIGKILL')
})

test('millrace start reports why it fails and exits 1', async (t) => {
  const redis = await startRedis(t, { settings: [['maxmemory-policy', 'allkeys-lru']] })
  const env = { MILLRACE_REDIS_URL: redis.url, MILLRACE_POSTGRES_URL: 'postgres://nobody@127.0.0.1:1/none' }
  const { code, stderr } = await runCommandProcess(t, ['start'], { dataDir: tempDirectory(t), env })
  assert.equal(code, 1)
  assert.match(stderr, /Redis cannot be used as it is:\n.*maxmemory-policy is allkeys-lru.*set it to noeviction/)
})
