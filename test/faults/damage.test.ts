import assert from 'node:assert/strict'
import { cpSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import { compare, describeCheck } from '../support/checker.ts'
import { samples } from '../support/depth.ts'
import { orders } from '../support/events.ts'
import { within } from '../support/eventually.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { Journal } from '../support/journal.ts'
import { loadUnary, type Target } from '../support/load.ts'
import { readDeadLetters } from '../support/log-file.ts'
import { publish } from '../support/publish.ts'
import { seededRandom } from '../support/random.ts'
import { runCommandProcess } from '../support/run-command.ts'
import { startServer } from '../support/server-process.ts'
import { queryStore, readRows } from '../support/store-file.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const pageBytes = 4096

/** Data directories to damage: one left by a clean stop, one left by a kill with a full WAL. */
interface Originals {
  readonly stopped: string
  readonly killed: string
  readonly journals: { readonly stopped: Journal; readonly killed: Journal }
}

const waitingEvents = 300

/** Every event in them is waiting: none has landed, so an event lost from the log is lost. */
async function originals(t: TestContext): Promise<Originals> {
  const ingest = { env: { MILLRACE_ROLES: 'ingest' } }
  const fill = async (server: Target): Promise<Journal> => {
    const journal = new Journal()
    await loadUnary(server, journal, { name: 'p', events: waitingEvents, batchEvents: 2 })
    return journal
  }
  const stopping = await startInProcess(t, ingest)
  const killing = await startServer(t, ingest)
  const journals = { stopped: await fill(stopping), killed: await fill(killing) }
  await stopping.stop()
  await killing.crash()
  return { stopped: stopping.dataDir, killed: killing.dataDir, journals }
}

/** Result of starting on damaged files: refused, failed after the start, or counts of missing and reported events. */
type Outcome = 'refused' | 'failed' | { readonly missing: number; readonly counted: number; readonly wrong: string }

async function startOn(t: TestContext, dataDir: string, journal: Journal): Promise<Outcome> {
  let server: Awaited<ReturnType<typeof startInProcess>>
  try {
    server = await startInProcess(t, { dataDir })
  } catch (error) {
    assert.ok(error instanceof MillraceError, `not a MillraceError: ${error}`)
    assert.equal(error.code, 'corrupt', error.message)
    assert.ok(error.message.includes(dataDir), `the error names no file: ${error.message}`)
    return 'refused'
  }
  try {
    const ended = await Promise.race([server.failed, drained(server)])
    if (ended instanceof Error) return 'failed'
    const result = compare({ journal, rows: readRows(dataDir), ledger: ended })
    const content = queryStore(
      dataDir,
      `SELECT count(*) AS n FROM events WHERE type <> 'order.placed' OR source <> '/shop'
      OR json_extract(data, '$.number') IS NULL`,
    )
    const [line] = ended
    const wrong = result.dupRows + result.unexpected + Number(content[0]?.n) > 0 ? describeCheck(result) : ''
    return {
      missing: result.lost,
      counted: Number(line?.dead) + Number(line?.lost),
      wrong: result.balanced ? wrong : `${wrong} NOT BALANCED ${JSON.stringify(line)}`,
    }
  } finally {
    await within(10_000, 'closing', server.stop())
  }
}

/** Fails if an event is missing and the server does not count it as lost. */
function assertNoticed(outcome: Outcome, what: string): void {
  if (typeof outcome === 'string') return
  assert.equal(outcome.wrong, '', what)
  assert.ok(
    outcome.missing <= outcome.counted,
    `${what}: ${outcome.missing} events are missing, ${outcome.counted} are counted as lost`,
  )
}

test('fault A5: truncated, emptied, foreign or missing files are refused or open without loss', async (t) => {
  const random = seededRandom(t)
  const { stopped, killed, journals } = await originals(t)
  const scratch = tempDirectory(t)
  let copies = 0
  const damage = async (original: 'stopped' | 'killed', what: string, change: (dataDir: string) => void) => {
    const dataDir = join(scratch, String(copies++))
    cpSync(original === 'stopped' ? stopped : killed, dataDir, { recursive: true })
    change(dataDir)
    const outcome = await startOn(t, dataDir, journals[original])
    assertNoticed(outcome, what)
    rmSync(dataDir, { recursive: true, force: true })
    return outcome
  }
  const pages = statSync(join(stopped, 'log.db')).size / pageBytes

  await t.test('log.db truncated at page boundaries, and at 512-byte steps in the last pages', async () => {
    for (let sample = 0; sample < samples(2, 40); sample++) {
      const page = random.between(1, pages - 1)
      const outcome = await damage('stopped', `cut at page ${page}`, (dir) =>
        truncateSync(join(dir, 'log.db'), page * pageBytes),
      )
      assert.notEqual(typeof outcome, 'object', `a log cut at page ${page} of ${pages} opened`)
    }
    for (let sample = 0; sample < samples(2, 32); sample++) {
      const length = pages * pageBytes - random.between(1, 23) * 512
      await damage('stopped', `cut at ${length}`, (dir) => truncateSync(join(dir, 'log.db'), length))
    }
  })

  await t.test('truncated store.db: never opened incomplete, never replaced', async () => {
    for (const bytes of [pageBytes, 2 * pageBytes - 512, 3 * pageBytes]) {
      const outcome = await damage('stopped', `store.db cut at ${bytes}`, (dir) =>
        truncateSync(join(dir, 'store.db'), bytes),
      )
      assert.equal(outcome, 'refused')
    }
  })

  await t.test('the WAL truncated, zeroed or removed after a kill', async () => {
    const wal = statSync(join(killed, 'log.db-wal')).size
    assert.ok(wal > 100_000, `the WAL has only ${wal} bytes`)
    const outcomes = [
      await damage('killed', 'WAL removed', (dir) => rmSync(join(dir, 'log.db-wal'))),
      await damage('killed', 'WAL zeroed', (dir) => writeFileSync(join(dir, 'log.db-wal'), Buffer.alloc(wal))),
      await damage('killed', 'WAL emptied', (dir) => truncateSync(join(dir, 'log.db-wal'), 0)),
      await damage('killed', 'WAL cut', (dir) => truncateSync(join(dir, 'log.db-wal'), Math.floor(wal / 2))),
    ]
    assert.deepEqual(outcomes, ['refused', 'refused', 'refused', 'refused'])
  })

  await t.test('empty, zeroed, foreign and missing files', async () => {
    for (const file of ['log.db', 'store.db']) {
      const change = (what: string, make: (path: string) => void) =>
        damage('stopped', `${file} ${what}`, (dir) => make(join(dir, file)))
      const outcomes = [
        await change('emptied', (path) => truncateSync(path, 0)),
        await change('zeroed', (path) => writeFileSync(path, Buffer.alloc(4 * pageBytes))),
        await change('foreign', (path) => writeFileSync(path, Buffer.alloc(4 * pageBytes, 'no database '))),
        await change('another database', (path) => {
          rmSync(path)
          const other = new DatabaseSync(path)
          other.exec('CREATE TABLE somebody_elses (a)')
          other.close()
        }),
      ]
      // No event had landed, so emptying store.db lost nothing and the server may open it.
      if (file === 'store.db') outcomes.shift()
      assert.deepEqual(new Set(outcomes), new Set(['refused']), file)
    }
    assert.equal(await damage('stopped', 'log.db missing', (dir) => rmSync(join(dir, 'log.db'))), 'refused')
  })

  await t.test('a missing or empty store.db is never silently recreated when events have landed', async (s) => {
    const dataDir = join(scratch, 'landed')
    const server = await startInProcess(s, { dataDir })
    await publish(server, 'events', orders(10))
    await drained(server)
    await server.stop()
    for (const change of [() => truncateSync(join(dataDir, 'store.db'), 0), () => rmSync(join(dataDir, 'store.db'))]) {
      change()
      const { code, stderr } = await runCommandProcess(s, ['start'], { dataDir, withinMs: 10_000 }).catch(() => ({
        code: null,
        stderr: 'it runs',
      }))
      assert.equal(code, 3, stderr)
      assert.ok(stderr.includes(join(dataDir, 'store.db')), stderr)
    }
  })

  await t.test('the program exits 3, reports file, expected and found, and creates no new file', async () => {
    const dataDir = join(scratch, 'exit')
    cpSync(killed, dataDir, { recursive: true })
    rmSync(join(dataDir, 'log.db'))
    const result = await runCommandProcess(t, ['start'], { dataDir })
    assert.deepEqual([result.code, result.signal], [3, null], result.stderr)
    assert.ok(result.stderr.includes(join(dataDir, 'log.db')), result.stderr)
    assert.match(result.stderr, /doctor/)
    assert.equal(existsSync(join(dataDir, 'log.db')), false)
  })
})

test('fault A6: a flipped bit in log.db or its WAL is detected: a dead letter, a counted gap, or a refused start', async (t) => {
  const random = seededRandom(t)
  const { stopped, killed, journals } = await originals(t)
  const scratch = tempDirectory(t)
  const seen = { refused: 0, failed: 0, counted: 0, complete: 0 }
  let letters = 0
  const flip = async (original: 'stopped' | 'killed', file: string, position: number): Promise<void> => {
    const dataDir = join(scratch, `${file}-${position}`)
    cpSync(original === 'stopped' ? stopped : killed, dataDir, { recursive: true })
    const path = join(dataDir, file)
    const bytes = readFileSync(path)
    bytes[position] = (bytes[position] as number) ^ (1 << random.between(0, 7))
    writeFileSync(path, bytes)
    const outcome = await startOn(t, dataDir, journals[original])
    assertNoticed(outcome, `a bit of byte ${position} of ${file}`)
    if (typeof outcome === 'string') {
      seen[outcome]++
    } else {
      seen[outcome.counted > 0 ? 'counted' : 'complete']++
      letters += readDeadLetters(dataDir).filter(({ code }) => code === 'corrupt').length
    }
    rmSync(dataDir, { recursive: true, force: true })
  }

  const log = readFileSync(join(stopped, 'log.db'))
  // Positions of the events' types, which are inside entries: a bit beside them may be in SQLite's own bytes. SQLite
  // leaves copies of moved rows in unused space, so what is there twice is passed over.
  const inEntries: number[] = []
  for (let at = log.indexOf('order.placed'); at >= 0; at = log.indexOf('order.placed', at + 1)) {
    const event = log.subarray(at - 30, at + 30)
    if (log.indexOf(event) === log.lastIndexOf(event)) inEntries.push(at)
  }
  for (let sample = 0; sample < samples(1, 32); sample++)
    await flip('stopped', 'log.db', random.pick(inEntries) + random.between(0, 'order.placed'.length - 1))
  assert.ok(letters > 0, 'no flipped bit in an entry became a dead letter')
  for (let sample = 0; sample < samples(1, 32); sample++)
    await flip('stopped', 'log.db', random.pick(inEntries) + random.between(-40, 40))
  for (let sample = 0; sample < samples(2, 48); sample++) {
    await flip('stopped', 'log.db', random.between(0, log.length / pageBytes - 1) * pageBytes + random.between(0, 99))
  }
  for (let sample = 0; sample < samples(2, 64); sample++)
    await flip('stopped', 'log.db', random.between(0, log.length - 1))
  const wal = statSync(join(killed, 'log.db-wal')).size
  for (let sample = 0; sample < samples(2, 64); sample++) await flip('killed', 'log.db-wal', random.between(0, wal - 1))
  t.diagnostic(JSON.stringify({ ...seen, letters }))
})
