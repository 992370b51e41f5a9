// Negative controls: deliberate defects that the checker must find. If the checker misses one, no other result of the
// fault tests can be trusted, so these run first. Each crash is repeated without the defect, to show that the checker
// reports the defect and not the test.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type CheckResult, compare, describeCheck } from '../support/checker.ts'
import { eventually } from '../support/eventually.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { Journal } from '../support/journal.ts'
import { loadUnary, type Target } from '../support/load.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { countRows, readRows } from '../support/store-file.ts'
import { drained, landingLedger } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const program = fileURLToPath(new URL('./defects/server.ts', import.meta.url))
const entries = 100

interface Crash {
  readonly defect: string
  /** When to kill the server with the defect. */
  readonly moment: (server: ServerProcess) => Promise<unknown>
  /** Defect of the server that is started after the kill; without it, the product's own server starts in this process. */
  readonly successor?: string
  /** Whether all entries are in the log before the server with the defect starts, so that they land in one batch. */
  readonly beforehand?: boolean
}

/** Publishes 100 entries to a server with a defect, kills it at `moment`, and checks the result with another server. */
async function crashWith(t: TestContext, crash: Crash): Promise<CheckResult> {
  const { defect, moment, successor, beforehand = false } = crash
  const dataDir = tempDirectory(t)
  const journal = new Journal()
  const publish = (server: Target) => loadUnary(server, journal, { name: 'p', events: entries, batchEvents: 1 })
  if (beforehand) {
    const ingest = await startInProcess(t, { dataDir, env: { MILLRACE_ROLES: 'ingest' } })
    await publish(ingest)
    await ingest.stop()
  }
  const server = await startServer(t, { dataDir, program: [program, defect] })
  if (!beforehand) await publish(server)
  await moment(server)
  await server.crash()
  const second =
    successor === undefined
      ? await startInProcess(t, { dataDir })
      : await startServer(t, { dataDir, program: [program, successor] })
  const ledger = await drained(second)
  const result = compare({ journal, rows: readRows(dataDir), ledger })
  await second.stop()
  t.diagnostic(`${defect}: ${describeCheck(result)}`)
  assert.equal(result.accepted, entries)
  return result
}

const allLanded = (server: ServerProcess): Promise<void> =>
  eventually(() => assert.equal(countRows(server.dataDir), entries))

const allSettled = (server: ServerProcess): Promise<void> =>
  eventually(async () => assert.equal((await landingLedger(server))[0]?.landed, entries))

const atOnce = async (): Promise<void> => {}

test('fault X1: the checker finds events that were acknowledged before the flush', async (t) => {
  const found = await crashWith(t, { defect: 'acknowledge-before-flush', moment: atOnce })
  assert.equal(found.lost, entries)
})

test('fault X2: the checker finds events that were settled before their COMMIT', async (t) => {
  const found = await crashWith(t, { defect: 'settle-before-commit', moment: allSettled })
  assert.equal(found.lost, entries)
})

test('the same crashes without a defect lose nothing', async (t) => {
  const honest = await crashWith(t, { defect: 'none', moment: atOnce })
  assert.deepEqual([honest.lost, honest.landed], [0, entries])
})

test('fault X3: the checker finds duplicate rows when the table has no primary key', async (t) => {
  const again = { moment: allLanded, beforehand: true }
  const found = await crashWith(t, { ...again, defect: 'without-key-withhold-landing', successor: 'without-key' })
  const honest = await crashWith(t, { ...again, defect: 'withhold-landing' })
  assert.equal(found.dupRows, entries)
  assert.deepEqual([honest.dupRows, honest.landed], [0, entries])
})
