import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { assertTidy } from '../support/leaks.ts'
import { publish } from '../support/publish.ts'
import { runCommand, runCommandProcess } from '../support/run-command.ts'
import { startServer } from '../support/server-process.ts'
import { skip } from '../support/skip.ts'
import { drained, tally } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { mountTmpfs } from '../support/tmpfs.ts'

test('a second server on the same data directory is refused at once, names the holder, and changes nothing', async (t) => {
  const server = await startServer(t)
  await publish(server, 'events', orders(10))
  const startedAt = performance.now()
  const second = await runCommandProcess(t, ['start'], { dataDir: server.dataDir })
  assert.equal(second.code, 1, second.stderr)
  assert.match(second.stderr, new RegExp(String(server.pid)), 'it names the process that holds the directory')
  assert.match(second.stderr, /in use/)
  assert.ok(performance.now() - startedAt < 5000)
  await publish(server, 'events', orders(10))
  await drained(server)
  assert.deepEqual(await tally(server), { waiting: 0, landed: 20, dead: 0 })
})

test('a server starts on the data directory of a killed one', async (t) => {
  const server = await startServer(t)
  await publish(server, 'events', orders(10))
  await server.crash()
  await server.start()
  await drained(server)
  assert.deepEqual(await tally(server), { waiting: 0, landed: 10, dead: 0 })
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  assertTidy(server.dataDir)
})

test('the error for a port in use names the port and its variable', async (t) => {
  const blocker = createServer()
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
  cleanup(t, async () => {
    await new Promise((resolve) => blocker.close(resolve))
  })
  const port = String((blocker.address() as AddressInfo).port)
  for (const variable of ['MILLRACE_HTTP_PORT', 'MILLRACE_GRPC_PORT']) {
    const message = new RegExp(`${variable}.*${port}|${port}.*${variable}`, 's')
    await assert.rejects(startInProcess(t, { env: { [variable]: port } }), message)
  }
})

test('the error for a data directory that cannot be created or written names it and its variable', async (t) => {
  const file = join(tempDirectory(t), 'file')
  writeFileSync(file, 'no directory')
  const isNamed =
    (dataDir: string) =>
    ({ message }: Error) =>
      message.includes('MILLRACE_DATA_DIR') && message.includes(dataDir)
  await assert.rejects(startInProcess(t, { dataDir: join(file, 'data') }), isNamed(file))

  await t.test('also when the file system is read-only', async (s) => {
    const mounted = mountTmpfs(s, 4)
    if ('reason' in mounted) return skip(s, mounted.reason)
    const dataDir = join(mounted.path, 'data')
    mkdirSync(dataDir)
    spawnSync('mount', ['-o', 'remount,ro', mounted.path])
    await assert.rejects(startInProcess(s, { dataDir }), isNamed(dataDir))
  })
})

test('fault S29: a server that other machines could reach asks for keys, and prints the first one once; open access is said', async (t) => {
  const server = await startServer(t, { env: { MILLRACE_HOST: '0.0.0.0' } })
  const printed = server.stdout + server.stderr
  const [key = ''] = /mr_\w+/.exec(printed) ?? []
  const post = (headers: Record<string, string>) =>
    request(server.http, '/v1/events', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{"type":"a"}',
    })

  assert.equal(printed.split('mr_').length, 2, printed)
  assert.equal(statSync(join(server.dataDir, 'admin.key')).mode & 0o777, 0o600)
  assert.equal((await post({})).status, 401)
  assert.equal((await post({ authorization: `Bearer ${key}` })).status, 202)
  assert.equal((await runCommand(['status'], { dataDir: server.dataDir })).code, 0)

  const open = await startServer(t, { env: { MILLRACE_HOST: '0.0.0.0', MILLRACE_AUTH: 'off' } })
  assert.match(open.stderr, /"level":"warn".*MILLRACE_AUTH=off/)
  assert.equal((await request(open.http, '/v1/events')).status, 200)
})
