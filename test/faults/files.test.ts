// What is left of a file when its server, its disk or the database fails: all of it, or nothing.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Client } from 'pg'
import type { MillraceError } from '../../src/index.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { request } from '../support/http-client.ts'
import { continueInProcess, startInProcess } from '../support/in-process-server.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { clientOf } from '../support/publish.ts'
import { startServer } from '../support/server-process.ts'
import { skip } from '../support/skip.ts'
import { attachStrace, straceMissing } from '../support/strace.ts'
import { mountTmpfs } from '../support/tmpfs.ts'

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (thrown) => (thrown as MillraceError).code,
  )

/** The names in a directory of files, without its mark. */
const namesIn = (directory: string) => readdirSync(directory).filter((name) => name !== 'millrace-files.json')

async function* bytesOf(...chunks: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk)
}

/** Some MiB, and an end when it is told to end. */
function untilTold(): { readonly chunks: AsyncIterable<Uint8Array>; readonly end: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let index = 0; index < 32; index++) yield Buffer.alloc(65_536, 'text ')
    await promise
  }
  return { chunks: chunks(), end: resolve }
}

const kills = [
  { when: 'in the middle of an upload', inject: null, isNamed: false },
  { when: 'as an upload gets its name', inject: 'link,linkat', isNamed: false },
  // The flush of the directory follows its new name.
  { when: 'when an upload has its name', inject: 'fsync', isNamed: true },
]

for (const { when, inject, isNamed } of kills) {
  test(`fault A14: after kill -9 ${when} nothing of it is visible, and it is removed after an hour`, async (t) => {
    const missing = inject === null ? null : straceMissing()
    if (missing !== null) return skip(t, missing)
    const server = await startServer(t)
    const directory = join(server.dataDir, 'files')
    const client = clientOf(t, server)
    const fileId = randomUUID()
    const partials = () => namesIn(directory).filter((name) => name.endsWith('.partial'))
    const { chunks, end } = untilTold()

    const upload = codeOf(client.upload(chunks, { fileId }))
    await eventually(async () => assert.ok((await client.files.uploadState(fileId)).received > 1_000_000), {
      everyMs: 20,
    })
    if (inject === null) server.kill()
    else {
      const ofDirectory = isNamed ? ['-P', directory] : []
      await attachStrace(t, server.pid, ['-e', `inject=${inject}:signal=KILL:when=1`, ...ofDirectory])
      end()
    }
    assert.notEqual(await upload, 'no error')
    await server.exited
    assert.equal(namesIn(directory).includes(fileId), isNamed)
    assert.equal(partials().length, 1)
    const next = await continueInProcess(t, server)

    assert.equal((await request(server.http, `/v1/files/${fileId}`)).status, 404)
    assert.equal((await request(server.http, `/v1/files/${fileId}/content`)).status, 404)
    // For a minute another process may be about to store what is known of a file with a name.
    assert.equal(await codeOf(client.upload(bytesOf('again'), { fileId })), isNamed ? 'unavailable' : 'no error')
    const hourAgo = Date.now() / 1000 - 3601
    for (const name of partials()) utimesSync(join(directory, name), hourAgo, hourAgo)
    await next.stop()
    await next.start()
    await eventually(() => assert.deepEqual(namesIn(directory), isNamed ? [] : [fileId]))
    if (isNamed) await client.upload(bytesOf('again'), { fileId })
    assert.equal((await request(server.http, `/v1/files/${fileId}/content`)).text, 'again')
  })
}

test('an upload whose name cannot be flushed is refused and leaves nothing', async (t) => {
  const missing = straceMissing()
  if (missing !== null) return skip(t, missing)
  const server = await startServer(t)
  const directory = join(server.dataDir, 'files')
  const client = clientOf(t, server)
  const fileId = randomUUID()
  const strace = await attachStrace(t, server.pid, ['-e', 'inject=fsync:error=EIO', '-P', directory])

  assert.equal(await codeOf(client.upload(bytesOf('content'), { fileId })), 'unavailable')

  assert.deepEqual(namesIn(directory), [])
  await strace.detach()
  await client.upload(bytesOf('content'), { fileId })
})

test('an upload that fills the disk is refused, leaves nothing, and others go on', async (t: TestContext) => {
  const mounted = mountTmpfs(t, 24)
  if ('reason' in mounted) return skip(t, mounted.reason)
  const directory = join(mounted.path, 'files')
  const env = { MILLRACE_FILES_DIR: directory, MILLRACE_DISK_RESERVE_BYTES: '0' }
  const server = await startInProcess(t, { env })
  const client = clientOf(t, server)
  const mebibytes = Array.from({ length: 40 }, () => Buffer.alloc(1024 * 1024))

  assert.equal(await codeOf(client.upload(bytesOf(...mebibytes))), 'disk_full')
  assert.equal(
    await codeOf(client.upload(bytesOf(...mebibytes), { size: mebibytes.length * 1024 * 1024 })),
    'disk_full',
  )

  await eventually(() => assert.deepEqual(namesIn(directory), []))
  const { fileId } = await client.upload(bytesOf(...mebibytes.slice(0, 16)))
  assert.deepEqual(namesIn(directory), [fileId])
})

test('an upload that waits for the database is not taken for one that has ended', async (t) => {
  const postgres = await PostgresServer.create({})
  cleanup(t, () => postgres.destroy())
  const url = await postgres.createDatabase()
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: url } })
  const client = clientOf(t, server)
  const holder = new Client({ connectionString: url })
  await holder.connect()
  cleanup(t, () => holder.end())
  await holder.query('BEGIN; LOCK TABLE files IN ACCESS EXCLUSIVE MODE')
  const fileId = randomUUID()
  const upload = client.upload(bytesOf('content'), { fileId })

  const state = await eventually(() => client.files.uploadState(fileId))
  await holder.query('ROLLBACK')

  assert.deepEqual(state, { received: 0, synced: 0 })
  await upload
})

test('without its database an upload is refused before its bytes, or removed at its end', async (t) => {
  const postgres = await PostgresServer.create({})
  cleanup(t, () => postgres.destroy())
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: await postgres.createDatabase() } })
  const directory = join(server.dataDir, 'files')
  const client = clientOf(t, server)
  const { chunks, end } = untilTold()
  const upload = codeOf(client.upload(chunks))
  await eventually(() => assert.equal(namesIn(directory).length, 1))

  await postgres.stop('SIGQUIT')
  end()

  assert.equal(await upload, 'unavailable')
  assert.deepEqual(namesIn(directory), [])
  const refused = await request(server.http, '/v1/files', { method: 'POST', body: 'content' })
  assert.equal(refused.status, 503)
  assert.deepEqual(namesIn(directory), [])
  await postgres.start()
  await eventually(() => client.upload(bytesOf('content')))
})
