import assert from 'node:assert/strict'
import { readdirSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { ServiceError } from '@grpc/grpc-js'
import { assertSound, compare } from '../support/checker.ts'
import { order, orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient, type RawGrpcClient } from '../support/grpc-client.ts'
import { listEvents, postJson } from '../support/http-client.ts'
import { Journal } from '../support/journal.ts'
import { startServer } from '../support/server-process.ts'
import { skip } from '../support/skip.ts'
import { readRows } from '../support/store-file.ts'
import { drained, landingLedger } from '../support/tally.ts'
import { mountTmpfs } from '../support/tmpfs.ts'

const mebibyte = 1024 * 1024
const diskMebibytes = 80
const ballastBytes = 20 * mebibyte

/** Landing may use half of it, which is more than one turn takes. */
const reserveBytes = 24 * mebibyte
const resourceExhausted = 8
const data = Buffer.from(`"${'x'.repeat(20_000)}"`)

/** Publishes until the server refuses because the disk is full; every answer goes into the journal. */
async function fill(grpc: RawGrpcClient, journal: Journal): Promise<ServiceError> {
  for (let message = 0; message < 2000; message++) {
    const events = orders(10, { data })
    const attempts = events.map((event) => journal.attempt('p', event))
    try {
      const { rejections } = await grpc.publish({ events })
      for (const [index, attempt] of attempts.entries()) {
        const isRejected = rejections.some(
          (run) => index >= Number(run.index) && index < Number(run.index) + (run.count || 1),
        )
        attempt.answer = isRejected ? 'rejected' : 'accepted'
      }
    } catch (error) {
      const failure = error as ServiceError
      if (failure.code === resourceExhausted) {
        for (const attempt of attempts) attempt.answer = 'rejected'
        return failure
      }
      throw failure
    }
  }
  throw new Error('the disk did not fill up')
}

function describeDisk(dataDir: string): string {
  const sizes = readdirSync(dataDir).map((name) => `${name} ${statSync(join(dataDir, name)).size}`)
  const { bavail, bsize } = statfsSync(dataDir)
  return `${bavail * bsize} bytes are free beside ${sizes.join(', ')}`
}

async function fillDisk(t: TestContext, diskReserveBytes: number): Promise<void> {
  const mounted = mountTmpfs(t, diskMebibytes)
  if ('reason' in mounted) return skip(t, mounted.reason)
  const dataDir = join(mounted.path, 'data')
  const ballast = join(mounted.path, 'ballast')
  writeFileSync(ballast, Buffer.alloc(ballastBytes))
  const journal = new Journal()
  const server = await startServer(t, {
    dataDir,
    env: {
      MILLRACE_DISK_RESERVE_BYTES: String(diskReserveBytes),
      MILLRACE_RETENTION_MS: '0',
      MILLRACE_RETENTION_BYTES: '0',
    },
  })
  const grpc = grpcClient(t, server)

  const refusal = await fill(grpc, journal)
  assert.match(refusal.metadata.get('grpc-status-details-bin')[0]?.toString('latin1') ?? '', /DISK_FULL/)
  assert.ok(Number(refusal.metadata.get('grpc-retry-pushback-ms')[0]) > 0)
  // Landing and trimming keep freeing space, so an event may be accepted before one is refused.
  await eventually(
    async () => {
      const event = order(0)
      const attempt = journal.attempt('http', event)
      const { type, id, source } = event
      const answer = await postJson(server.http, [{ type, id, source }])
      attempt.answer = answer.status === 202 ? 'accepted' : 'rejected'
      assert.deepEqual([answer.status, answer.body.code], [429, 'disk_full'])
      assert.ok(Number(answer.headers.get('retry-after')) > 0)
    },
    { withinMs: 3000, everyMs: 1 },
  ).catch((failure: Error) => {
    if (!/202/.test(failure.message)) throw failure
  })
  assert.ok((await listEvents(server.http, 'limit=1')).events.length <= 1, 'reading still works')
  const [line] = await landingLedger(server)
  assert.ok(Number(line?.accepted) > 0)
  if (diskReserveBytes > 0) {
    await eventually(
      async () => {
        const [now] = await landingLedger(server)
        assert.ok(Number(now?.landed) > 0, 'nothing lands')
      },
      { withinMs: 8000 },
    )
  }

  rmSync(ballast)
  const freedAt = performance.now()
  await eventually(
    async () => {
      const event = order(1)
      const attempt = journal.attempt('after', event)
      attempt.answer = 'rejected'
      await grpc.publish({ events: [event] })
      attempt.answer = 'accepted'
    },
    { withinMs: 5000, everyMs: 100, what: 'accepting events again' },
  )
  t.diagnostic(`accepts ${Math.round(performance.now() - freedAt)} ms after space was freed`)
  const ledger = await drained(server, 30_000).finally(() => t.diagnostic(describeDisk(dataDir)))
  assertSound(t, compare({ journal, rows: readRows(dataDir), ledger }))
  assert.doesNotMatch(server.stderr, /[Uu]nhandled/)
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
}

test('fault A8: on a full disk events are refused before the reserve is used, landing continues, and ingest resumes when space is freed', (t) =>
  fillDisk(t, reserveBytes))

test('fault A8: on a full disk without a reserve events are refused, and everything resumes when space is freed', (t) =>
  fillDisk(t, 0))

test('fault A8: with nothing but the reserve free, everything lands that was accepted before the disk was full', async (t) => {
  const mounted = mountTmpfs(t, 40)
  if ('reason' in mounted) return skip(t, mounted.reason)
  const dataDir = join(mounted.path, 'data')
  const env = {
    MILLRACE_DISK_RESERVE_BYTES: String(reserveBytes),
    MILLRACE_RETENTION_MS: '0',
    MILLRACE_RETENTION_BYTES: '0',
  }
  const journal = new Journal()
  const ingest = await startServer(t, { dataDir, env: { ...env, MILLRACE_ROLES: 'ingest' } })
  await fill(grpcClient(t, ingest), journal)
  assert.deepEqual(await ingest.stop(), { code: 0, signal: null })
  t.diagnostic(describeDisk(dataDir))

  const server = await startServer(t, { dataDir, env })
  const ledger = await drained(server, 30_000).finally(() => t.diagnostic(describeDisk(dataDir)))
  assertSound(t, compare({ journal, rows: readRows(dataDir), ledger }))
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
})
