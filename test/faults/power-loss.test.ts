import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CheckResult, compare, describeCheck } from '../support/checker.ts'
import { samples } from '../support/depth.ts'
import { eventually } from '../support/eventually.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { Journal } from '../support/journal.ts'
import { loadProduce, loadUnary } from '../support/load.ts'
import {
  buildImage,
  type ImageOptions,
  parseTrace,
  type Recording,
  recordWrites,
  writeImage,
} from '../support/power-loss.ts'
import { type SeededRandom, seededRandom } from '../support/random.ts'
import { startServer } from '../support/server-process.ts'
import { skip } from '../support/skip.ts'
import { readRows } from '../support/store-file.ts'
import { straceMissing } from '../support/strace.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

/** The journal as of the power loss: later answers do not count. */
function journalAt(journal: Journal, atMs: number): Journal {
  const then = new Journal()
  for (const [, entry] of journal.entries()) {
    for (const id of entry.ids) {
      const attempt = then.attempt(entry.producer, { source: entry.source, id })
      if (entry.acceptedAtMs !== null && entry.acceptedAtMs <= atMs) attempt.answer = 'accepted'
    }
  }
  return then
}

/** Builds an image, starts a server on it, waits until all has landed, and compares. `null` if the start is refused. */
async function judgeImage(
  t: TestContext,
  recording: Recording,
  journal: Journal,
  options: ImageOptions,
  directory: string,
): Promise<CheckResult | null> {
  writeImage(buildImage(recording, options), directory)
  const atMs = recording.calls[options.calls]?.atMs ?? Number.POSITIVE_INFINITY
  try {
    const server = await startInProcess(t, { dataDir: directory })
    const ledger = await drained(server)
    const result = compare({ journal: journalAt(journal, atMs), rows: readRows(directory), ledger })
    await server.stop()
    return result
  } catch (failure) {
    t.diagnostic(`image of ${options.calls} calls was refused: ${(failure as Error).message}`)
    return null
  }
}

function imageOptions(recording: Recording, random: SeededRandom, from = 1): ImageOptions {
  return { calls: random.between(from, recording.calls.length), keep: random.pick([0, 0.3, 0.7, 1]), random }
}

/** How many power losses are tested per recording. */
const images = samples(4, 150)

test('fault A4: after a power loss at any moment every acknowledged event and every settled row exists', async (t) => {
  const reason = straceMissing()
  if (reason !== null) return skip(t, reason)
  const random = seededRandom(t)
  const scratch = tempDirectory(t)
  const journal = new Journal()
  const server = await startServer(t)
  await loadUnary(server, journal, { name: 'before', events: 50 })
  await drained(server)
  const recorder = await recordWrites(t, server.pid, server.dataDir, join(scratch, 'trace'))
  await Promise.all([
    loadUnary(server, journal, { name: 'unary', events: 300, batchEvents: 3 }),
    loadProduce(server, journal, { name: 'produce', events: 1500, batchEvents: 25 }),
  ])
  await server.crash()
  const recording = await recorder.finish()
  const flushes = recording.calls.filter(({ operation }) => operation.kind === 'flush').length
  assert.ok(flushes > 20, `only ${flushes} flushes were recorded`)

  await t.test(`${images} images: nothing is lost, duplicated or out of order`, async (s) => {
    for (let image = 0; image < images; image++) {
      const options = imageOptions(recording, random)
      const result = await judgeImage(s, recording, journal, options, join(scratch, `image-${image}`))
      assert.ok(result, `image ${image} did not open`)
      const { lost, dupRows, both, unexpected, orderViolations, dead, balanced } = result
      assert.deepEqual(
        { lost, dupRows, both, unexpected, orderViolations, dead, balanced },
        { lost: 0, dupRows: 0, both: 0, unexpected: 0, orderViolations: 0, dead: 0, balanced: true },
        `image ${image} (${options.calls} calls, keep ${options.keep}): ${describeCheck(result)}; ${result.examples}`,
      )
    }
  })

  await t.test('control: on a disk that flushes no WAL, as with synchronous=NORMAL, images lose events', async (s) => {
    let bad = 0
    for (let image = 0; image < 6; image++) {
      const options = {
        ...imageOptions(recording, random, 20),
        keep: 0,
        ignoreFlush: (file: string) => file.endsWith('-wal'),
      }
      const result = await judgeImage(s, recording, journal, options, join(scratch, `control-${image}`))
      if (result === null || result.lost > 0) bad++
    }
    assert.ok(bad >= 3, `only ${bad} of 6 images without flushes were found to lose events`)
  })
})

test('fault A4: after a failed flush, a restart and a power loss no acknowledged event is missing', async (t) => {
  const reason = straceMissing()
  if (reason !== null) return skip(t, reason)
  const random = seededRandom(t)
  const scratch = tempDirectory(t)
  const journal = new Journal()
  const server = await startServer(t)
  await loadUnary(server, journal, { name: 'before', events: 20 })
  await drained(server)

  // The flush of the log fails once. The frames stay in the page cache, and the kernel considers them clean.
  const fail = ['-e', 'inject=fsync,fdatasync:error=EIO:when=12']
  const first = await recordWrites(t, server.pid, server.dataDir, join(scratch, 'first'), fail)
  const stopping = new AbortController()
  const load = loadUnary(server, journal, { name: 'unary', batchEvents: 3, signal: stopping.signal })
  assert.equal((await server.exited).code, 1)
  const failed = await first.finish()
  assert.ok(failed.calls.some(({ operation }) => operation.kind === 'flush' && operation.failed))

  // The recording covers the restart from its first call, and the acknowledgements after it.
  mkdirSync(join(scratch, 'images'))
  const wrapper = ['strace', '-f', '-y', '-xx', '-ttt', '-s', '4194304', '-o', join(scratch, 'second')]
  const calls = ['-e', 'trace=write,pwrite64,pwritev,ftruncate,fsync,fdatasync', '-e', 'signal=none']
  const paths = ['log.db', 'log.db-wal', 'log.mark', 'store.db', 'store.db-wal'].flatMap((file) => [
    '-P',
    join(server.dataDir, file),
  ])
  const second = await startServer(t, {
    dataDir: server.dataDir,
    wrapper: [...wrapper, ...calls, ...paths],
    env: { MILLRACE_GRPC_PORT: server.grpc.split(':')[1] as string },
  })
  await eventually(() => assert.ok(journal.accepted > 100), { withinMs: 10_000 })
  stopping.abort()
  await load
  await sleep(100)
  await second.crash()
  const restarted = parseTrace(readFileSync(join(scratch, 'second'), 'latin1'))
  const recording = { base: failed.base, calls: [...failed.calls, ...restarted] }

  for (let image = 0; image < Math.ceil(images / 3); image++) {
    const options = imageOptions(recording, random, failed.calls.length)
    const result = await judgeImage(t, recording, journal, options, join(scratch, 'images', String(image)))
    assert.ok(result, `image ${image} did not open`)
    const { lost, dupRows, unexpected, balanced } = result
    assert.deepEqual(
      { lost, dupRows, unexpected, balanced },
      { lost: 0, dupRows: 0, unexpected: 0, balanced: true },
      `image ${image}: ${describeCheck(result)}`,
    )
  }
})
