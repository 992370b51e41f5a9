import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { assertSound, compare } from '../support/checker.ts'
import { isLongRun } from '../support/depth.ts'
import { order, orders } from '../support/events.ts'
import { eventually, within } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { continueInProcess } from '../support/in-process-server.ts'
import { Journal } from '../support/journal.ts'
import { loadUnary } from '../support/load.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { skip } from '../support/skip.ts'
import { countRows, readRows } from '../support/store-file.ts'
import { attachStrace, straceMissing } from '../support/strace.ts'
import { drained } from '../support/tally.ts'

/** Large enough that a few messages push the WAL over its checkpoint size. */
const largeText = Buffer.from(`"${'x'.repeat(400_000)}"`)

/** Fills both WALs close to their checkpoint size before strace slows everything down. */
async function fillWals(server: ServerProcess, journal: Journal): Promise<void> {
  const walBytes = (file: string): number => statSync(join(server.dataDir, file)).size
  for (let part = 0; walBytes('log.db-wal') < 11_000_000 && part < 20; part++) {
    await loadUnary(server, journal, { name: 'before', events: 3, batchEvents: 3, event: { data: largeText } })
  }
  await drained(server)
}

const failures: readonly { what: string; file: string; call: string; large: boolean }[] = [
  { what: 'flushing a COMMIT of log.db', file: 'log.db-wal', call: 'fsync,fdatasync', large: false },
  { what: 'a write in a COMMIT of log.db', file: 'log.db-wal', call: 'pwrite64', large: false },
  { what: 'flushing a checkpoint of log.db', file: 'log.db', call: 'fsync,fdatasync', large: true },
  { what: 'a write in a checkpoint of log.db', file: 'log.db', call: 'pwrite64', large: true },
  { what: 'flushing a COMMIT of store.db', file: 'store.db-wal', call: 'fsync,fdatasync', large: false },
  { what: 'a write in a COMMIT of store.db', file: 'store.db-wal', call: 'pwrite64', large: false },
  { what: 'flushing a checkpoint of store.db', file: 'store.db', call: 'fsync,fdatasync', large: true },
  { what: 'a write in a checkpoint of store.db', file: 'store.db', call: 'pwrite64', large: true },
]

/** The server sees a failed write and a failed flush alike: as the error of one COMMIT or checkpoint. */
const tried = failures.filter(({ call }) => isLongRun || call !== 'pwrite64')

for (const { what, file, call, large } of tried) {
  test(`fault A7: when ${what} fails with EIO the server acknowledges nothing more and exits`, async (t) => {
    const reason = straceMissing()
    if (reason !== null) return skip(t, reason)
    const journal = new Journal()
    const server = await startServer(t)
    await loadUnary(server, journal, { name: 'before', events: 30, batchEvents: 3 })
    if (large) await fillWals(server, journal)
    // Inject one failure only: SQLite does not remember it, so the next COMMIT would succeed.
    const strace = await attachStrace(t, server.pid, [
      ...['-ttt', '-e', `trace=${call}`, '-e', `inject=${call}:error=EIO:when=1`],
      ...['-P', join(server.dataDir, file)],
    ])
    const stopping = new AbortController()
    const load = loadUnary(server, journal, {
      name: 'during',
      batchEvents: large ? 5 : 3,
      signal: stopping.signal,
      ...(large ? { event: { data: largeText } } : {}),
    })
    load.catch(() => {})
    await eventually(() => assert.match(strace.output, /INJECTED/), { withinMs: 20_000, everyMs: 5 })
    // strace's line for the failed call has its time. strace slows the server, so it detaches now.
    const failedAtMs = Number(/(\d+\.\d+) \w+\(.*INJECTED/.exec(strace.output)?.[1]) * 1000
    void strace.detach()
    const exit = await within(5000, 'exit of the server', server.exited)
    const exitMs = Date.now() - failedAtMs
    t.diagnostic(`exited ${Math.round(exitMs)} ms after the failure: ${exit.code ?? exit.signal}`)
    // The server sends itself SIGKILL when closing takes too long, which a failing disk may cause.
    assert.ok(exit.code === 1 || exit.signal === 'SIGKILL', JSON.stringify(exit))
    assert.ok(exitMs <= 1000 + 300, `the server exited ${exitMs} ms after the failure`)
    // What was committed before a checkpoint is answered while that runs.
    const lateMs = what.includes('checkpoint') ? 300 : 1
    for (const [identity, entry] of journal.entries()) {
      const late = entry.acceptedAtMs !== null && entry.acceptedAtMs > failedAtMs + lateMs
      if (file.startsWith('log')) assert.ok(!late, `${identity} was accepted after the failure`)
    }
    assert.match(server.stderr, /EIO|I\/O error/i, 'the reason is not in the log')

    const next = await continueInProcess(t, server)
    stopping.abort()
    await load
    const ledger = await drained(next)
    assertSound(t, compare({ journal, rows: readRows(server.dataDir), ledger }))
  })
}

test('fault A16: while the flush of a COMMIT is delayed, its event is not acknowledged, listed or delivered', async (t) => {
  const reason = straceMissing()
  if (reason !== null) return skip(t, reason)
  const server = await startServer(t)
  const grpc = grpcClient(t, server)
  await grpc.publish({ events: [order(0)] })
  await drained(server)
  const heldMs = 1500
  const strace = await attachStrace(t, server.pid, [
    ...['-e', 'trace=fsync', '-e', `inject=fsync:delay_enter=${heldMs * 1000}:when=1`],
    ...['-P', join(server.dataDir, 'log.db-wal')],
  ])
  const startedAt = performance.now()
  let answered = false
  const sending = grpc.publish({ events: orders(3) }).then((response) => {
    answered = true
    return response
  })
  while (performance.now() - startedAt < heldMs - 300) {
    assert.equal(answered, false, 'the event was acknowledged before its flush had returned')
    assert.equal(countRows(server.dataDir), 1, 'the event was delivered before its flush had returned')
    await sleep(50)
  }
  const answer = await sending
  assert.equal(answer.accepted, 3n)
  assert.ok(performance.now() - startedAt >= heldMs - 50)
  await strace.detach()
  await drained(server)
  assert.equal(countRows(server.dataDir), 4)
})
