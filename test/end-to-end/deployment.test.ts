// Checks compose.yaml and Dockerfile without a container engine (docs/deploy.md lists what this cannot check).

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { loadConfig, needsKeys } from '../../src/config/config.ts'
import { settings } from '../../src/config/config-table.ts'
import { Authority } from '../support/certificates.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { clientOf, publish } from '../support/publish.ts'
import { RedisServer } from '../support/redis-server.ts'
import { projectRoot } from '../support/server-process.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const fileOf = (name: string): string => readFileSync(join(projectRoot, name), 'utf8')
const compose = fileOf('compose.yaml')

/** The product's variables (`NAME: value`) in a part of the file, with the substitutions of the engine. */
function variablesIn(text: string): Record<string, string> {
  const found = [...text.matchAll(/^ +(MILLRACE_[A-Z_]+): "?(.*?)"?$/gm)]
  return Object.fromEntries(
    found.map(([, name, value]) => [name, value!.replace(/\$\{\w+:-(.*?)\}/g, (_all, fallback: string) => fallback)]),
  )
}

/** The part of a service, up to the next service. */
function serviceNamed(name: string): string {
  const [, part] = compose.split(new RegExp(`^  ${name}:$`, 'm'))
  assert.ok(part !== undefined, `compose.yaml has no service ${name}`)
  return part.split(/^ {0,2}\w+:$/m)[0]!
}

const common = variablesIn(compose.split('\nservices:')[0]!)

test('every variable of compose.yaml is a setting, and together they are a valid configuration', () => {
  const known = new Set(settings.map(({ variable }) => variable))
  for (const name of Object.keys(variablesIn(compose))) assert.ok(known.has(name), name)
  for (const [service, roles] of [
    ['millrace', ['ingest', 'worker']],
    ['ingest', ['ingest']],
    ['worker', ['worker']],
  ] as const) {
    const part = serviceNamed(service)
    assert.match(part, /<<: \*environment/)
    const config = loadConfig({ env: { ...common, ...variablesIn(part) }, cwd: '/' })
    assert.deepEqual(
      [config.host, needsKeys(config), config.durability, config.roles],
      ['0.0.0.0', true, { level: 'disk' }, roles],
    )
    assert.deepEqual(new URL(config.redisUrl!).host, 'redis:6379')
    assert.deepEqual(new URL(config.postgresUrl!).host, 'postgres:5432')
  }
})

test('ports are published on localhost only, and the backing services publish none', () => {
  for (const [, port] of compose.matchAll(/^ +- "([\d.:]+)"$/gm)) assert.match(port!, /^127\.0\.0\.1:\d+:\d+$/)
  for (const name of ['redis', 'postgres', 'worker']) assert.doesNotMatch(serviceNamed(name), /ports:/)
})

test('a Redis with the arguments of compose.yaml provides the durability of MILLRACE_DURABILITY=disk', async (t) => {
  const [, given] = /command: redis-server (.*)$/m.exec(compose)!
  const words = given!.split(' ')
  const pairs = Array.from(
    { length: words.length / 2 },
    (_, at) => [words[at * 2]!.slice(2), words[at * 2 + 1]!] as const,
  )
  const redis = await RedisServer.create({ settings: pairs })
  cleanup(t, () => redis.destroy())
  const postgres = await PostgresServer.create()
  cleanup(t, () => postgres.destroy())
  const own = { MILLRACE_REDIS_URL: redis.url, MILLRACE_POSTGRES_URL: await postgres.createDatabase() }
  const env = { ...common, ...own, MILLRACE_HOST: '127.0.0.1' }
  const ingest = await startInProcess(t, { env: { ...env, ...variablesIn(serviceNamed('ingest')) } })
  await startInProcess(t, { env: { ...env, ...variablesIn(serviceNamed('worker')) } })

  const verdict = await publish(ingest, 'events', orders(50))

  assert.deepEqual([verdict.accepted, verdict.durability], [50, 'disk'])
  const [line] = await drained(ingest, 20_000)
  assert.deepEqual([line?.landed, line?.balanced], [50, true])
  const watch = clientOf(t, ingest).watchStatus()
  const { value } = await watch.next()
  await watch.return()
  assert.deepEqual([value?.observations.log.persistence, value?.observations.landing], ['aof-always', null])
})

test('the files that the Dockerfile copies exist, and .dockerignore does not exclude them', () => {
  const copied = [...fileOf('Dockerfile').matchAll(/^COPY (?!--from)(.+)$/gm)].flatMap(([, words]) =>
    words!.split(' ').slice(0, -1),
  )
  const sent = fileOf('.dockerignore').split('\n')
  assert.ok(copied.length > 5 && sent.includes('*'))
  for (const path of copied) {
    assert.ok(existsSync(join(projectRoot, path)), path)
    assert.ok(sent.includes(`!${path}`), `.dockerignore excludes ${path}`)
  }
  const { bin } = JSON.parse(fileOf('package.json')) as { bin: { millrace: string } }
  assert.match(fileOf('Dockerfile'), new RegExp(`ln -s /usr/local/lib/node_modules/millrace/${bin.millrace} `))
})

test('the health check of the image needs no key and takes any certificate, and fails when the process is gone', async (t) => {
  const [, words = '[]'] = /^HEALTHCHECK [^[]*CMD (\[.*\])$/m.exec(fileOf('Dockerfile').replaceAll('\\\n', ''))!
  const [program, ...args] = JSON.parse(words) as string[]
  const { cert, key } = new Authority(tempDirectory(t)).issue('server', { names: 'DNS:millrace' })
  const certificate: Record<string, string> = { MILLRACE_TLS_CERT: cert, MILLRACE_TLS_KEY: key }
  for (const tls of [{}, certificate]) {
    const server = await startInProcess(t, { env: { MILLRACE_AUTH: 'keys', ...tls } })
    const env = { ...process.env, ...tls, MILLRACE_HTTP_PORT: server.http.split(':')[1] }
    const check = () => promisify(execFile)(program!, args, { env })
    await check()
    await server.stop()
    await assert.rejects(check(), { code: 1 })
  }
})
