import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { assertSound, compare } from '../support/checker.ts'
import { eventually, within } from '../support/eventually.ts'
import { continueInProcess } from '../support/in-process-server.ts'
import { Journal } from '../support/journal.ts'
import { loadProduce, loadUnary } from '../support/load.ts'
import { projectRoot, startServer } from '../support/server-process.ts'
import { readRows } from '../support/store-file.ts'
import { drained } from '../support/tally.ts'

for (const [what, signal, reason] of [
  ['an uncaught error', 'SIGUSR2', /a bug in the core/],
  ['an unhandled rejection', 'SIGPWR', /a forgotten promise of the core/],
] as const) {
  test(`fault A15: ${what} in the core is logged, calls in flight are finished, and the server exits 1`, async (t) => {
    const journal = new Journal()
    const server = await startServer(t, {
      nodeArguments: ['--import', join(projectRoot, 'test/support/throw-on-signal.ts')],
    })
    const stopping = new AbortController()
    const loads = Promise.all([
      loadUnary(server, journal, { name: 'unary', signal: stopping.signal, batchEvents: 3 }),
      loadProduce(server, journal, { name: 'produce', signal: stopping.signal, pauseMs: 3 }),
    ])
    loads.catch(() => {})
    await eventually(() => assert.ok(journal.accepted > 100))
    const startedAt = performance.now()
    server.kill(signal)
    const exit = await within(5000, 'exit of the server', server.exited)
    const tookMs = performance.now() - startedAt
    assert.deepEqual(exit, { code: 1, signal: null })
    assert.ok(tookMs <= 1000 + 150, `it took ${tookMs} ms`)
    assert.match(server.stderr, reason)
    const fatal = server.logLines().filter((line) => line.level === 'fatal' || line.level === 'error')
    assert.ok(fatal.length > 0, 'the failure is not logged as error or fatal')

    const next = await continueInProcess(t, server)
    stopping.abort()
    await loads
    const ledger = await drained(next)
    assertSound(t, compare({ journal, rows: readRows(server.dataDir), ledger }))
  })
}
