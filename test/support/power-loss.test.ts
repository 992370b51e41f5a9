import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { cleanup } from './cleanup.ts'
import { eventually } from './eventually.ts'
import { buildImage, parseTrace, recordWrites, writeImage } from './power-loss.ts'
import { SeededRandom, seededRandom } from './random.ts'
import { skip } from './skip.ts'
import { straceMissing } from './strace.ts'
import { tempDirectory } from './temp-directory.ts'

/** Commits row after row with synchronous=FULL and prints each number once its COMMIT has returned. */
const committer = `
  const { DatabaseSync } = require('node:sqlite')
  const database = new DatabaseSync('log.db')
  database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (a, b)')
  console.log('ready')
  let number = 0
  process.stdin.once('data', () => setInterval(() => {
    database.prepare('INSERT INTO t VALUES (?, randomblob(3000))').run(++number)
    console.log(Date.now() + 1, number)
  }, 2))
`

test('flushed data is in every image; without the flushes some is missing', async (t) => {
  const reason = straceMissing()
  if (reason !== null) return skip(t, reason)
  const random = seededRandom(t)
  const directory = tempDirectory(t)
  const images = tempDirectory(t)
  const child = spawn(process.execPath, ['-e', committer], { cwd: directory, stdio: ['pipe', 'pipe', 'inherit'] })
  cleanup(t, () => {
    child.kill('SIGKILL')
  })
  let printed = ''
  child.stdout.on('data', (text) => {
    printed += text
  })
  await eventually(() => assert.match(printed, /ready/))
  const recorder = await recordWrites(t, child.pid as number, directory, join(images, 'trace'))
  child.stdin.write('go')
  await eventually(() => assert.match(printed, / 60\n/))
  child.kill('SIGKILL')
  await once(child, 'exit')
  const recording = await recorder.finish()
  const acks = [...printed.matchAll(/(\d+) (\d+)\n/g)].map(
    ([, atMs, number]) => [Number(atMs), Number(number)] as const,
  )

  const lostIn = (ignoreFlush: boolean, index: number): number => {
    const calls = random.between(1, recording.calls.length - 1)
    const image = buildImage(recording, { calls, keep: random.next(), random, ignoreFlush: () => ignoreFlush })
    const imageDirectory = join(images, `${index}`)
    writeImage(image, imageDirectory)
    const database = new DatabaseSync(join(imageDirectory, 'log.db'))
    const { n } = database.prepare('SELECT coalesce(max(a), 0) AS n FROM t').get() as { n: number }
    database.close()
    const atMs = (recording.calls[calls] as { atMs: number }).atMs
    return Math.max(0, ...acks.filter(([ackedAtMs]) => ackedAtMs <= atMs).map(([, number]) => number)) - n
  }
  const honest = Array.from({ length: 30 }, (_, index) => lostIn(false, index))
  const lying = Array.from({ length: 30 }, (_, index) => lostIn(true, 100 + index))
  assert.ok(Math.max(...honest) <= 0, `flushed rows were lost: ${honest}`)
  assert.ok(Math.max(...lying) > 0, `a disk that flushes nothing lost nothing: ${lying}`)
})

test('the trace parser handles split calls, failed flushes and short writes', () => {
  const hex = (text: string): string =>
    [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
  const wal = `17<${hex('/d/log.db-wal')}>`
  const calls = parseTrace(
    [
      `7 1700000000.500000 pwrite64(${wal}, "${hex('abcd')}", 4, 32) = 3`,
      `7 1700000001.000000 fsync(${wal} <unfinished ...>`,
      `8 1700000001.100000 ftruncate(19<${hex('/d/store.db-wal')}>, 4096) = 0`,
      `7 1700000002.000000 <... fsync resumed>)    = -1 EIO (Input/output error) (INJECTED)`,
    ].join('\n'),
  )
  assert.deepEqual(calls, [
    { file: 'log.db-wal', atMs: 1700000000500, operation: { kind: 'write', offset: 32, bytes: Buffer.from('abc') } },
    { file: 'store.db-wal', atMs: 1700000001100, operation: { kind: 'truncate', length: 4096 } },
    { file: 'log.db-wal', atMs: 1700000001000, operation: { kind: 'flush', failed: true } },
  ])
})

test('a write whose flush failed is not written by a later flush', () => {
  const write = (text: string) =>
    ({ file: 'log.db', atMs: 0, operation: { kind: 'write', offset: 0, bytes: Buffer.from(text) } }) as const
  const flush = (failed: boolean) => ({ file: 'log.db', atMs: 0, operation: { kind: 'flush', failed } }) as const
  const image = (calls: readonly (ReturnType<typeof write> | ReturnType<typeof flush>)[]): string | undefined =>
    buildImage({ base: new Map(), calls }, { calls: calls.length, keep: 0, random: new SeededRandom(1) })
      .get('log.db')
      ?.toString()
  assert.equal(image([write('one'), flush(false)]), 'one')
  assert.equal(image([write('one'), flush(false), write('two'), flush(true), flush(false)]), 'one')
  assert.equal(image([write('one')]), '')
})
