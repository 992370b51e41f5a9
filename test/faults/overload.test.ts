import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServiceError } from '@grpc/grpc-js'
import { Overflow } from '../../src/gen/millrace/v1/ingest_pb.ts'
import { rejectedEvents } from '../../src/pipeline/rejections.ts'
import { samples } from '../support/depth.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { startServer } from '../support/server-process.ts'
import { skip } from '../support/skip.ts'
import { countRows } from '../support/store-file.ts'
import { attachStrace, straceMissing } from '../support/strace.ts'
import { drained, tally } from '../support/tally.ts'

const mebibyte = 1024 * 1024
const loadMs = samples(3000, 60_000)

test('fault O1: at ten times the landing rate, the excess is refused with a retry hint and landing keeps its rate', async (t) => {
  const reason = straceMissing()
  if (reason !== null) return skip(t, reason)
  const server = await startServer(t, {
    env: { MILLRACE_MAX_WAITING_EVENTS: '2000', MILLRACE_LANDING_MAX_EVENTS: '100', MILLRACE_LOG_LEVEL: 'warn' },
  })
  // A slow disk under the store: each COMMIT takes 100 ms, so at most about 1,000 events can land in a second.
  await attachStrace(t, server.pid, [
    ...['-e', 'trace=fsync', '-e', 'inject=fsync:delay_enter=100000'],
    ...['-P', join(server.dataDir, 'store.db-wal')],
  ])
  const clients = Array.from({ length: 4 }, () => grpcClient(t, server))
  const tallied = { accepted: 0, refused: 0, other: 0, slowestMs: 0 }
  const offer = async (untilMs: number, pauseMs: number): Promise<void> => {
    await Promise.all(
      clients.map(async (client) => {
        while (performance.now() < untilMs) {
          const startedAt = performance.now()
          try {
            const { accepted, rejections } = await client.publish({ events: orders(100) }, { deadlineMs: 5000 })
            tallied.accepted += Number(accepted)
            tallied.refused += rejectedEvents(rejections)
          } catch (error) {
            const { code, metadata } = error as ServiceError
            if (code === 8 && metadata.get('grpc-retry-pushback-ms').length === 1) tallied.refused += 100
            else tallied.other++
          }
          tallied.slowestMs = Math.max(tallied.slowestMs, performance.now() - startedAt)
          await sleep(pauseMs)
        }
      }),
    )
  }
  const landedIn = async (ms: number, pauseMs: number): Promise<number> => {
    const before = countRows(server.dataDir)
    const startedAt = performance.now()
    await offer(startedAt + ms, pauseMs)
    return ((countRows(server.dataDir) - before) * 1000) / (performance.now() - startedAt)
  }
  await landedIn(1000, 150)
  const peak = await landedIn(1500, 100)
  // Measured under load, so that the growth excludes the warm-up of the heap.
  await landedIn(samples(1500, 40_000), 15)
  const base = server.rssBytes
  Object.assign(tallied, { accepted: 0, refused: 0, other: 0, slowestMs: 0 })
  const goodput = await landedIn(loadMs, 15)
  const growth = server.rssBytes - base
  const offered = (tallied.accepted + tallied.refused) / (loadMs / 1000)
  t.diagnostic(
    `peak ${Math.round(peak)}/s, offered ${Math.round(offered)}/s, goodput ${Math.round(goodput)}/s, refused ` +
      `${tallied.refused}, slowest call ${Math.round(tallied.slowestMs)} ms, RSS ${(growth / mebibyte).toFixed(1)} MiB`,
  )
  assert.ok(offered > 5 * peak, 'the load did not exceed capacity')
  assert.equal(tallied.other, 0, 'calls failed other than by a refusal with a retry hint')
  // 0.8 on a quiet machine (bench/, W8); where tests share the cores the peak itself varies by a third.
  assert.ok(goodput >= 0.5 * peak, `goodput ${goodput} of ${peak}`)
  assert.ok(growth <= 64 * mebibyte, `RSS grew by ${growth}`)
})

test('seed A8: with overflow WAIT a producer that exceeds the landing rate is slowed down and memory stays flat', async (t) => {
  const server = await startServer(t, {
    topics: ['full'],
    env: { MILLRACE_ROLES: 'ingest', MILLRACE_MAX_WAITING_EVENTS: '2000' },
  })
  const client = grpcClient(t, server)
  const data = Buffer.from(`"${'x'.repeat(10_000)}"`)
  // Warm up the process first, by filling it up to the limit.
  await assert.rejects(async () => {
    for (;;) await client.publish({ events: orders(100, { data }) })
  })
  await eventually(async () => assert.equal((await tally(server)).waiting, 1800))
  const base = server.rssBytes
  const stream = client.publishStream()
  const produce = client.produce()
  let sentBytes = 0
  let stalled = 0
  // About 1 MB a message; each writer waits until the transport has room before it sends the next.
  const writeUntilStill = async (send: () => Promise<void>): Promise<void> => {
    for (let count = 0; count < 200; count++) {
      const room = await Promise.race([send().then(() => true), sleep(1500).then(() => false)])
      if (!room) {
        stalled++
        return
      }
      sentBytes += 1_000_000
    }
  }
  let sequence = 0
  await Promise.all([
    writeUntilStill(() => stream.send({ overflow: Overflow.WAIT, events: orders(100, { data }) })),
    writeUntilStill(() =>
      produce.send({ producerId: 'p', sequence: ++sequence, overflow: Overflow.WAIT, events: orders(100, { data }) }),
    ),
  ])
  const growth = server.rssBytes - base
  t.diagnostic(
    `${sentBytes / 1e6} MB left the producers before they stalled, RSS ${(growth / mebibyte).toFixed(1)} MiB`,
  )
  assert.equal(stalled, 2, 'not every producer was slowed down')
  assert.ok(sentBytes < 40e6, `${sentBytes} bytes were read although nothing lands`)
  assert.ok(growth <= 64 * mebibyte, `RSS grew by ${growth}`)
  assert.equal((await tally(server)).waiting, 1800)
  stream.call.cancel()
  produce.call.cancel()
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  const landing = await startServer(t, { dataDir: server.dataDir, topics: ['full'] })
  const ledger = await drained(landing)
  assert.ok(ledger.every((line) => line.balanced))
  assert.equal(countRows(server.dataDir), ledger.find(({ topic }) => topic === 'events')?.accepted)
})
