import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as v from 'valibot'
import { type Config, ConfigError, describeConfig, loadConfig, needsKeys, warnings } from './config.ts'
import { settings } from './config-table.ts'

const load = (env: Record<string, string>, flags: Record<string, string> = {}) =>
  loadConfig({ env, flags, cwd: '/srv' })

function problemsOf(env: Record<string, string>, flags: Record<string, string> = {}): Record<string, string> {
  try {
    load(env, flags)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return Object.fromEntries(error.problems.map(({ variable, message }) => [variable, message]))
  }
  return {}
}

const heartbeats = { name: 'heartbeats', partitions: 1, partitionBy: 'key' }

test('without any setting the defaults apply, and the server listens on loopback', () => {
  const config = load({})
  assert.equal(config.dataDir, '/srv/data')
  assert.equal(config.host, '127.0.0.1')
  assert.deepEqual(config.topics, [{ name: 'events', partitions: 1, partitionBy: 'key' }, heartbeats])
  assert.deepEqual(config.roles, ['ingest', 'worker'])
  assert.deepEqual(config.address, [])
  assert.equal(config.auth, null)
  assert.equal(config.maxWaitingBytes, 1024 ** 3)
  assert.deepEqual(warnings(config), [])
  assert.ok(Object.isFrozen(config))
})

test('the environment overrides defaults, and a flag overrides the environment', () => {
  const input = { env: { MILLRACE_HTTP_PORT: '1', MILLRACE_GRPC_PORT: '2' }, flags: { grpcPort: '3' }, cwd: '/srv' }
  const config = loadConfig(input)
  assert.deepEqual([config.httpPort, config.grpcPort], [1, 3])

  const sources = Object.fromEntries(
    describeConfig(input).map(({ variable, value, source }) => [variable, [value, source]]),
  )
  assert.deepEqual(sources.MILLRACE_HTTP_PORT, ['1', 'environment'])
  assert.deepEqual(sources.MILLRACE_GRPC_PORT, ['3', 'flag'])
  assert.deepEqual(sources.MILLRACE_TOPICS, ['events:1,heartbeats:1', 'default'])
  assert.deepEqual(sources.MILLRACE_ADDRESS, [null, 'default'])
})

test('all problems are reported at once, with the name, the bad value, the allowed values and an example', () => {
  const bad: Record<keyof Config, string> = {
    dataDir: 'a\0b',
    host: 'not a host',
    httpPort: '65536',
    grpcPort: 'x',
    address: 'localhost',
    auth: 'on',
    key: 'two words',
    allowedHosts: 'https://events.example',
    corsOrigins: 'https://app.example/page',
    basePath: '/a/../b',
    connectionsMax: '0',
    connectionsPerAddressMax: 'many',
    tlsCert: 'a\0b',
    tlsKey: 'a\0b',
    tlsClientCa: 'a\0b',
    tlsClientCrl: 'a\0b',
    tlsCa: 'a\0b',
    tlsClientCert: 'a\0b',
    tlsClientKey: 'a\0b',
    redisUrl: 'http://localhost',
    redisPrefix: 'a{b}',
    redisTrustDisk: 'yes',
    postgresUrl: 'mysql://localhost/db',
    deadSqlstates: 'P0001,57014',
    topics: 'Orders',
    roles: 'landing',
    upstream: 'nowhere',
    maxWaitingEvents: '0',
    maxWaitingBytes: '1GiB',
    landingMaxEvents: '0',
    landingMaxWaitMs: '60001',
    leaseMs: '99',
    agentOfflineMs: '99',
    retentionMs: '-1',
    replyTtlMs: '0',
    retentionBytes: '1.5',
    handlers: ',',
    workerConcurrency: '0',
    maxAttempts: 'many',
    drainMs: '1e3',
    durability: 'safe',
    filesDir: 'a\0b',
    fileMaxBytes: '16GiB',
    filesMaxBytes: '0',
    uploadsMax: '0',
    uploadIdleMs: '99',
    subscriberMaxBytes: '0',
    diskReserveBytes: '1_000',
    logLevel: 'INFO',
    otelExporterOtlpEndpoint: 'localhost:4317',
    otelTracesSampler: 'sometimes',
    otelTracesSamplerArg: '1.5',
  }
  const env = Object.fromEntries(settings.map(({ key, variable }) => [variable, bad[key]]))
  const problems = problemsOf(env)
  for (const { key, variable, flag, allowed, example, isKey } of settings) {
    const message = problems[variable] ?? 'no problem'
    const shown = isKey ? ['"[redacted]"', `${flag} ${example}`] : [JSON.stringify(bad[key]), `${variable}=${example}`]
    for (const part of [variable, allowed, ...shown]) {
      assert.ok(message.includes(part), `${variable}: ${message} lacks ${part}`)
    }
  }
})

test('the message about a bad flag begins with the flag', () => {
  const message = problemsOf({}, { httpPort: 'http' }).MILLRACE_HTTP_PORT ?? ''
  assert.match(message, /^--http-port \(MILLRACE_HTTP_PORT\) is "http": .*, for example --http-port 8080$/)
})

test('a certificate without its key, or what needs one without it, is a problem that names what is missing', () => {
  const alone = {
    MILLRACE_TLS_CERT: 'MILLRACE_TLS_KEY',
    MILLRACE_TLS_KEY: 'MILLRACE_TLS_CERT',
    MILLRACE_TLS_CLIENT_CA: 'MILLRACE_TLS_CERT',
    MILLRACE_TLS_CLIENT_CRL: 'MILLRACE_TLS_CLIENT_CA',
    MILLRACE_TLS_CLIENT_CERT: 'MILLRACE_TLS_CLIENT_KEY',
    MILLRACE_TLS_CLIENT_KEY: 'MILLRACE_TLS_CLIENT_CERT',
  }
  for (const [variable, needed] of Object.entries(alone)) {
    const problems = problemsOf({ [variable]: 'a.pem' })
    assert.deepEqual(Object.keys(problems), [variable])
    assert.match(problems[variable]!, new RegExp(`${needed} is not set.*for example ${needed}=/`))
  }
  const { tlsCert, tlsCa } = load({ MILLRACE_TLS_CERT: 'a.pem', MILLRACE_TLS_KEY: '/b.pem', MILLRACE_TLS_CA: 'system' })
  assert.deepEqual([tlsCert, tlsCa], ['/srv/a.pem', 'system'])
})

test('an empty value is a problem', () => {
  assert.deepEqual(Object.keys(problemsOf({ MILLRACE_DATA_DIR: '', MILLRACE_AUTH: '' })), [
    'MILLRACE_DATA_DIR',
    'MILLRACE_AUTH',
  ])
})

test('an unknown variable is a problem that suggests the closest one', () => {
  assert.match(problemsOf({ MILLRACE_HTPP_PORT: '1' }).MILLRACE_HTPP_PORT ?? '', /did you mean MILLRACE_HTTP_PORT\?/)
  assert.match(problemsOf({ MILLRACE_BANANA: '1' }).MILLRACE_BANANA ?? '', /unknown.*docs\/config\.md/)
  assert.deepEqual(problemsOf({ PATH: '/bin', MILLRACE: 'x' }), {})
})

const services = { MILLRACE_REDIS_URL: 'redis://a:1', MILLRACE_POSTGRES_URL: 'postgres://a/b' }

test('a gateway needs the servers that it calls, and nothing of theirs', () => {
  const gateway = { MILLRACE_ROLES: 'gateway', MILLRACE_UPSTREAM: 'a:1,b:2' }
  assert.deepEqual(loadConfig({ env: gateway, cwd: '/' }).upstream, ['a:1', 'b:2'])
  assert.match(problemsOf({ MILLRACE_ROLES: 'gateway' }).MILLRACE_UPSTREAM ?? '', /is not set.*ingest:50051/)
  assert.match(
    problemsOf({ MILLRACE_UPSTREAM: 'a:1' }).MILLRACE_UPSTREAM ?? '',
    /only a gateway.*MILLRACE_ROLES=gateway/,
  )
  assert.match(problemsOf({ ...gateway, MILLRACE_ROLES: 'gateway,worker' }).MILLRACE_ROLES ?? '', /gateway alone/)
  const theirs = { ...services, MILLRACE_DURABILITY: 'broker', MILLRACE_HANDLERS: './a.ts' }
  const problems = problemsOf({ ...gateway, ...theirs })
  assert.deepEqual(Object.keys(problems).sort(), Object.keys(theirs).sort())
  for (const message of Object.values(problems)) assert.match(message, /is set, and MILLRACE_ROLES is "gateway": it/)
})

test('a log on Redis is one server, a Cluster or behind Sentinels, and requires PostgreSQL', () => {
  const urls = [
    'redis://localhost',
    'rediss://user:word@host:6380/0',
    'redis://a:1,redis://b:2',
    'redis+sentinel://a:26379,b:26379/main',
  ]
  for (const MILLRACE_REDIS_URL of urls) {
    assert.equal(load({ ...services, MILLRACE_REDIS_URL }).redisUrl, MILLRACE_REDIS_URL)
    assert.match(problemsOf({ MILLRACE_REDIS_URL }).MILLRACE_POSTGRES_URL ?? '', /must share one database/)
  }
  for (const url of ['localhost:6379', 'redis+sentinel://a:26379', 'redis://a:1,http://b:2', 'redis://']) {
    assert.match(problemsOf({ ...services, MILLRACE_REDIS_URL: url }).MILLRACE_REDIS_URL ?? '', /it must be/)
  }
  const input = { env: { ...services, MILLRACE_REDIS_URL: 'redis://u:secret@a:1,redis://u:secret@b:2' }, cwd: '/srv' }
  assert.ok(!JSON.stringify(describeConfig(input)).includes('secret'))
})

function textOrMessage(make: () => string): string {
  try {
    return make()
  } catch (error) {
    return (error as Error).message
  }
}

test('no part of a password is shown, whatever characters it has, in a valid or an invalid URL', () => {
  for (const word of ['a:SECRET', 'a@SECRET', 'a/SECRET', '12/SECRET', ':SECRET', 'SECRET,redis']) {
    for (const scheme of ['redis', 'rediss', 'redis+sentinel']) {
      const env = { ...services, MILLRACE_REDIS_URL: `${scheme}://user:${word}@host:6379/main` }
      const said = textOrMessage(() => JSON.stringify(describeConfig({ env, cwd: '/srv' })))
      assert.ok(!said.includes('SECRET'), `${word}: ${said}`)
    }
    const env = { MILLRACE_POSTGRES_URL: `postgres://user:${word}@host/db` }
    const said = textOrMessage(() => JSON.stringify(describeConfig({ env, cwd: '/srv' })))
    assert.ok(!said.includes('SECRET'), `${word}: ${said}`)
  }
})

test('durability is the default of the log, or a level that the log supports', () => {
  assert.deepEqual(load({}).durability, { level: 'disk' })
  assert.deepEqual(load(services).durability, { level: 'broker' })
  const level = (MILLRACE_DURABILITY: string) => load({ ...services, MILLRACE_DURABILITY }).durability
  assert.deepEqual(level('disk'), { level: 'disk' })
  assert.deepEqual(level('replicated(2)'), { level: 'replicated', replicas: 2 })
  assert.deepEqual(level('replicated_disk(1)'), { level: 'replicated_disk', replicas: 1 })
  for (const text of ['replicated', 'replicated(0)', 'replicated(17)', 'memory', 'Disk']) {
    const problem = problemsOf({ ...services, MILLRACE_DURABILITY: text }).MILLRACE_DURABILITY ?? ''
    assert.match(problem, /must be `disk`, and with Redis/)
  }
  assert.match(problemsOf({ MILLRACE_DURABILITY: 'broker' }).MILLRACE_DURABILITY ?? '', /MILLRACE_REDIS_URL/)
})

test('a topic on a Cluster has eight partitions by default', () => {
  const cluster = { ...services, MILLRACE_REDIS_URL: 'redis://a:1,redis://b:2', MILLRACE_TOPICS: 'events,orders:2' }
  assert.deepEqual(load(cluster).topics, [
    { name: 'events', partitions: 8, partitionBy: 'key' },
    { name: 'orders', partitions: 2, partitionBy: 'key' },
    heartbeats,
  ])
})

test('a server that other machines can reach needs keys; without them it warns', () => {
  for (const host of ['0.0.0.0', '::', '192.168.1.7', 'example.org']) {
    assert.ok(needsKeys(load({ MILLRACE_HOST: host })))
    assert.deepEqual(warnings(load({ MILLRACE_HOST: host })), [])
    assert.ok(!needsKeys(load({ MILLRACE_HOST: host, MILLRACE_AUTH: 'off' })))
    assert.match(warnings(load({ MILLRACE_HOST: host, MILLRACE_AUTH: 'off' }))[0] ?? '', /every client that can reach/)
  }
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) {
    assert.ok(!needsKeys(load({ MILLRACE_HOST: host })))
    assert.ok(needsKeys(load({ MILLRACE_HOST: host, MILLRACE_AUTH: 'keys' })))
    assert.deepEqual(warnings(load({ MILLRACE_HOST: host, MILLRACE_AUTH: 'off' })), [])
  }
})

test('HTTP and gRPC cannot share a port, except 0', () => {
  assert.match(
    problemsOf({ MILLRACE_HTTP_PORT: '50051' }).MILLRACE_GRPC_PORT ?? '',
    /MILLRACE_HTTP_PORT has the same port/,
  )
  assert.equal(load({ MILLRACE_HTTP_PORT: '0', MILLRACE_GRPC_PORT: '0' }).grpcPort, 0)
})

test('topics have 1 to 1024 partitions, one by default, and events and heartbeats are always among them', () => {
  assert.deepEqual(load({ MILLRACE_TOPICS: 'orders:4, a' }).topics, [
    { name: 'events', partitions: 1, partitionBy: 'key' },
    { name: 'orders', partitions: 4, partitionBy: 'key' },
    { name: 'a', partitions: 1, partitionBy: 'key' },
    heartbeats,
  ])
  assert.deepEqual(load({ MILLRACE_TOPICS: 'events,heartbeats' }).topics, load({}).topics)
  assert.deepEqual(load({ MILLRACE_TOPICS: 'events:1,heartbeats:1' }).topics, load({}).topics)
  assert.equal(load({ MILLRACE_TOPICS: 'heartbeats:2' }).topics.at(-1)?.partitions, 2)
  const byTenant = load({ MILLRACE_TOPICS: 'jobs:64:attributes.tenant,a:2:source,b:2:subject,c:2:key' })
  assert.deepEqual(
    byTenant.topics.slice(1, -1).map(({ partitionBy }) => partitionBy),
    ['attributes.tenant', 'source', 'subject', 'key'],
  )
  assert.deepEqual(load({ MILLRACE_TOPICS: 'events:1024' }).topics, [
    { name: 'events', partitions: 1024, partitionBy: 'key' },
    heartbeats,
  ])
  for (const text of [
    'a:0',
    'a:1025',
    'a:',
    'a:1:1',
    'a:1:attributes.',
    'a:1:',
    'a::key',
    'a:1:type',
    'a:1:key:2',
    ':1',
    'a,',
    'x'.repeat(65),
    'ä',
    '-a',
  ]) {
    assert.ok('MILLRACE_TOPICS' in problemsOf({ MILLRACE_TOPICS: text }), text)
  }
  assert.match(problemsOf({ MILLRACE_TOPICS: 'a,b,a' }).MILLRACE_TOPICS ?? '', /"a" is repeated/)
})

test('every example and every default is valid', () => {
  for (const { variable, example, default: text, schema } of settings) {
    for (const value of text === null ? [example] : [example, text]) assert.ok(v.is(schema, value), variable)
  }
})

test('flag, variable and field of Config have the same name', () => {
  for (const { key, variable, flag, isKey } of settings) {
    const words = flag.slice(2).split('-')
    if (isKey) assert.equal(words.pop(), 'file')
    assert.equal(variable.replace(/^MILLRACE_/, ''), words.join('_').toUpperCase())
    assert.equal(
      key,
      words.map((word, index) => (index === 0 ? word : word[0]?.toUpperCase() + word.slice(1))).join(''),
    )
  }
})

test('for any values, loading returns a Config or throws a ConfigError that lists the problems', () => {
  const variable = fc.constantFrom(...settings.map((setting) => setting.variable))
  fc.assert(
    fc.property(fc.dictionary(variable, fc.string(), { maxKeys: 5 }), (env) => {
      try {
        load(env)
      } catch (error) {
        assert.ok(error instanceof ConfigError)
        for (const problem of error.problems) assert.ok(error.message.includes(problem.message))
      }
    }),
    { numRuns: 300 },
  )
})

test('a secret can be read from a file, and its password is never shown', () => {
  const url = 'postgres://me:hunter2@db:5432/events'
  const readFile = (path: string) => {
    if (path !== '/run/secrets/url') throw new Error('no such file')
    return `${url}\n`
  }
  const input = { env: { MILLRACE_POSTGRES_URL_FILE: '/run/secrets/url' }, cwd: '/', readFile }
  assert.equal(loadConfig(input).postgresUrl, url)
  const described = describeConfig(input).find(({ variable }) => variable === 'MILLRACE_POSTGRES_URL')
  assert.deepEqual([described?.value, described?.source], ['postgres://me:[redacted]@db:5432/events', 'environment'])
  assert.throws(() => loadConfig({ ...input, env: { MILLRACE_POSTGRES_URL_FILE: '/nowhere' } }), /_FILE.*no such file/)
  assert.doesNotMatch(
    problemsOf({ MILLRACE_POSTGRES_URL: 'mysql://me:hunter2@db/x' }).MILLRACE_POSTGRES_URL ?? '',
    /hunter2/,
  )
})

test('a key is read from its file, and never shown', () => {
  const input = {
    env: { MILLRACE_KEY: 'mr_env', MILLRACE_KEY_FILE: '/unread' },
    cwd: '/srv',
    readFile: (path: string) => `mr_${path}\n`,
  }
  assert.equal(loadConfig(input).key, 'mr_env')
  assert.equal(loadConfig({ ...input, env: { MILLRACE_KEY_FILE: '/file' } }).key, 'mr_/file')
  assert.equal(loadConfig({ ...input, flags: { keyFile: '/flag' } }).key, 'mr_/flag')
  assert.equal(describeConfig(input).find(({ variable }) => variable === 'MILLRACE_KEY')?.value, '[redacted]')
})
