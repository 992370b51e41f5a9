import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { assertSound, compare } from '../support/checker.ts'
import { samples } from '../support/depth.ts'
import { Journal } from '../support/journal.ts'
import { assertNoLeak, assertTidy, footprint } from '../support/leaks.ts'
import { loadHttp, loadProduce, loadStream, loadUnary } from '../support/load.ts'
import { seededRandom } from '../support/random.ts'
import { startServer } from '../support/server-process.ts'
import { readRows } from '../support/store-file.ts'
import { drained } from '../support/tally.ts'

const rounds = samples(2, 20)

test('fault A1: kill -9 at random moments under unary, stream, Produce and HTTP load loses and duplicates nothing', async (t) => {
  const random = seededRandom(t)
  const journal = new Journal()
  const server = await startServer(t, { topics: ['keyed:3'] })
  const before = footprint(server)
  const stopping = new AbortController()
  const { signal } = stopping
  const loads = Promise.all([
    loadUnary(server, journal, { name: 'unary', signal, batchEvents: 5 }),
    loadStream(server, journal, { name: 'stream', signal, batchEvents: 40 }),
    loadProduce(server, journal, { name: 'produce', signal, batchEvents: 25 }),
    loadProduce(server, journal, { name: 'keyed', signal, topic: 'keyed', event: { key: 'k' }, pauseMs: 2 }),
    loadHttp(server, journal, { name: 'http', signal, batchEvents: 10, pauseMs: 2 }),
  ])
  loads.catch(() => {})
  let slowestMs = 0
  for (let round = 0; round < rounds; round++) {
    await sleep(random.between(100, 600))
    await server.crash()
    const startedAt = performance.now()
    await server.start()
    slowestMs = Math.max(slowestMs, performance.now() - startedAt)
  }
  await sleep(200)
  stopping.abort()
  await loads
  const ledger = await drained(server)
  assertSound(t, compare({ journal, rows: readRows(server.dataDir), ledger }))
  assert.ok(journal.accepted > 500, `only ${journal.accepted} events were accepted`)
  // 5 s on a quiet machine; here other tests share the cores.
  assert.ok(slowestMs <= 12_000, `a restart took ${slowestMs} ms`)
  t.diagnostic(`slowest restart ${Math.round(slowestMs)} ms`)
  await sleep(300)
  assertNoLeak(server, before)
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  assertTidy(server.dataDir)
})
