// What /readyz says when the disk is full or the database hangs: found although nobody publishes.

import assert from 'node:assert/strict'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { postgresHome } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { getReadiness, getStatus, metricsOf, postJson } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { skip } from '../support/skip.ts'
import { mountTmpfs } from '../support/tmpfs.ts'

const mebibyte = 1024 * 1024

test('a full disk under the embedded log degrades the process within 15 s, and no longer when there is space, without a publish', async (t) => {
  const mounted = mountTmpfs(t, 24)
  if ('reason' in mounted) return skip(t, mounted.reason)
  const env = { MILLRACE_DISK_RESERVE_BYTES: String(8 * mebibyte) }
  const server = await startInProcess(t, { dataDir: join(mounted.path, 'data'), env })
  assert.equal((await getReadiness(server.http)).state, 'ready')

  const { bavail, bsize } = statfsSync(mounted.path)
  const ballast = join(mounted.path, 'ballast')
  writeFileSync(ballast, Buffer.alloc(bavail * bsize - 6 * mebibyte))
  const cause = { component: 'log', reason: 'disk_full' }
  await eventually(async () => {
    const { status, state, causes } = await getReadiness(server.http)
    assert.deepEqual([status, state], [200, 'degraded'])
    assert.partialDeepStrictEqual(causes[0], cause)
  })
  await eventually(async () => assert.partialDeepStrictEqual((await getStatus(server.http)).causes[0], cause))
  const metric = async () => await metricsOf(server)
  assert.match(await metric(), /^millrace_degraded\{component="log",reason="disk_full"\} 1$/m)
  assert.match(server.stderr, /disk full: publishes are refused/)
  const refused = await postJson(server.http, [{ type: 'a' }])
  assert.deepEqual([refused.status, refused.body.code], [429, 'disk_full'])

  rmSync(ballast)
  await eventually(async () => {
    const { causes } = await getReadiness(server.http)
    assert.deepEqual(
      causes.filter(({ component }) => component === 'log'),
      [],
    )
  })
  assert.match(await metric(), /^millrace_degraded\{component="log",reason="disk_full"\} 0$/m)
  assert.match(server.stderr, /disk has free space again/)
  assert.equal((await postJson(server.http, [{ type: 'a' }])).status, 202)
})

test('a PostgreSQL that hangs is down 5 s after its last answer, which degrades the process; it is up when it answers', async (t) => {
  const direct = await postgresHome(t, {})
  const url = new URL(direct.postgresUrl!)
  const proxy = await startFaultProxy(t, () => `${url.hostname}:${url.port}`)
  const through = new URL(url)
  through.host = proxy.address
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: through.href, MILLRACE_DRAIN_MS: '1000' } })
  const isUp = async () => (await getStatus(server.http)).store.up
  assert.equal(await isUp(), true)

  proxy.up.blocked = proxy.down.blocked = true
  await eventually(async () => assert.equal(await isUp(), false))
  const { status, state, causes } = await getReadiness(server.http)
  assert.deepEqual([status, state], [200, 'degraded'])
  assert.deepEqual([causes[0]?.component, causes[0]?.reason], ['store', 'unavailable'])
  assert.match(causes[0]!.message, /^postgres (has not answered for 5 s|is unreachable)/)
  assert.match(await metricsOf(server), /^millrace_component_up\{component="store"\} 0$/m)
  assert.equal((await postJson(server.http, [{ type: 'a' }])).status, 202)

  proxy.heal()
  await eventually(async () => assert.equal(await isUp(), true))
  await eventually(() => assert.ok(server.logLines().some(({ message }) => message === 'postgres is ready again')))
  await eventually(async () => assert.equal((await getReadiness(server.http)).state, 'ready'), { withinMs: 20_000 })

  proxy.down.blocked = true
  const { bytesUp } = proxy
  await eventually(() => assert.ok(proxy.bytesUp > bytesUp), { what: 'a probe that gets no answer' })
  const stoppedAt = performance.now()
  await server.stop()
  assert.ok(performance.now() - stoppedAt < 4500, 'an idle server waits for the probe of a database that hangs')
})
