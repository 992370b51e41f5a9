// How the embedded log handles damaged files: it detects the damage, reports it, and can be repaired.

import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { MillraceError } from '../../src/errors.ts'
import { cleanup } from '../support/cleanup.ts'
import { samples } from '../support/depth.ts'
import { type SeededRandom, seededRandom } from '../support/random.ts'
import {
  changeFile,
  copyDirectory,
  directoryFor,
  judge,
  makeDamageBase,
  openEmbedded,
  pagesOf,
  type Reading,
} from './event-log-copies.ts'
import {
  again,
  batchOf,
  group,
  idsOf,
  landed,
  leaseMs,
  ledger,
  ledgerOf,
  named,
  readAllSettled,
  stream,
  take,
  takeAll,
  topic,
} from './event-log-verbs.ts'

const pageBytes = 8192
/** Flipped bits in each part of the file; parts that are examined in two ways share them. */
const bitFlips = samples(4, 40)
const half = bitFlips / 2

/** The refusal must name the file, what was expected and found, and the fix. */
function assertRefused(error: MillraceError, dataDir: string): void {
  assert.equal(error.code, 'corrupt', error.message)
  assert.ok(error.message.includes(dataDir), error.message)
  assert.match(error.message, /expected .*found|expected a|is missing/)
  assert.match(error.message, /millrace doctor --repair/)
}

/** Everything that the whole log has is read, or the difference is counted. */
function assertAccounted(read: Reading, whole: Reading, what: string): void {
  assert.equal(read.accepted, whole.accepted, `${what}: accepted events are missing`)
  assert.ok(read.balanced, `${what}: the ledger does not add up`)
  for (const [id, attempt] of read.events) {
    assert.ok(whole.events.has(id), `${what}: ${id} was handed out, but never appended, or settled already`)
    assert.equal(attempt, whole.events.get(id), `${what}: the attempt of ${id}`)
  }
  assert.equal(
    read.events.size + read.damagedEvents + read.lost,
    whole.events.size,
    `${what}: ${whole.events.size - read.events.size} events are missing, ${read.damagedEvents} were delivered as damaged, ${read.lost} are counted as lost`,
  )
}

/** Opens a damaged copy: it is refused, fails while it is read, or accounts for everything. Returns which. */
async function check(
  dataDir: string,
  whole: Reading,
  what: string,
): Promise<'refused' | 'ended' | 'damaged' | 'whole'> {
  const judged = await judge(dataDir)
  if ('refused' in judged) {
    assertRefused(judged.refused, dataDir)
    return 'refused'
  }
  if ('ended' in judged) {
    assert.ok(judged.ended instanceof MillraceError && judged.ended.code === 'corrupt', `${what}: ${judged.ended}`)
    return 'ended'
  }
  assertAccounted(judged.read, whole, what)
  return judged.read.events.size === whole.events.size ? 'whole' : 'damaged'
}

function tally(t: TestContext, results: readonly string[]): void {
  const counts = new Map<string, number>()
  for (const result of results) counts.set(result, (counts.get(result) ?? 0) + 1)
  t.diagnostic(Array.from(counts, ([result, count]) => `${count} ${result}`).join(', '))
}

test('every kind of damage of the embedded log is detected', async (t) => {
  const base = await makeDamageBase(t)
  const random = seededRandom(t)
  const judged = await judge(copyDirectory(t, base.closed))
  assert.ok('read' in judged)
  const whole = judged.read
  const afterCrash = await judge(copyDirectory(t, base.crashed))
  assert.ok('read' in afterCrash)
  const wholeAfterCrash = afterCrash.read
  assert.ok(statSync(join(base.crashed, 'log.db-wal')).size > 200_000, 'the crashed log has a WAL')

  await t.test('fault A5: a truncated database is refused', async (s) => {
    const { size } = statSync(join(base.closed, 'log.db'))
    const pages = size / pageBytes
    const cuts = Array.from({ length: half }, () => random.between(1, pages - 1) * pageBytes)
    for (let cut = size - 3 * pageBytes; cut < size; cut += pageBytes * 0.3) cuts.push(Math.floor(cut / 512) * 512)
    for (const cut of cuts) {
      const copy = copyDirectory(s, base.closed)
      truncateSync(join(copy, 'log.db'), cut)
      const result = await check(copy, whole, `cut at ${cut} of ${size}`)
      assert.ok(result === 'refused' || result === 'ended', `cut at ${cut} of ${size}: ${result}`)
    }
  })

  await t.test(
    'fault A5: a WAL that was truncated, zeroed or removed after kill -9 is detected by log.mark',
    async (s) => {
      const { size } = statSync(join(base.crashed, 'log.db-wal'))
      const wal = (copy: string) => join(copy, 'log.db-wal')
      const harms: readonly [string, (path: string) => void][] = [
        ['removed', (path) => rmSync(path)],
        ['emptied', (path) => truncateSync(path, 0)],
        ['zeroed', (path) => writeFileSync(path, Buffer.alloc(size))],
        ...Array.from({ length: half }, (): [string, (path: string) => void] => {
          // The last commits only recorded attempts, so they lose no event: the cut goes before the last append.
          const at = random.between(0, size - 12 * pageBytes)
          return [`cut at ${at} of ${size}`, (path) => truncateSync(path, at)]
        }),
      ]
      for (const [what, harm] of harms) {
        const copy = copyDirectory(s, base.crashed)
        harm(wal(copy))
        const found = existsSync(wal(copy)) ? readFileSync(wal(copy)) : Buffer.alloc(0)
        assert.equal(await check(copy, wholeAfterCrash, what), 'refused', what)
        if (found.length > 0) assert.deepEqual(readFileSync(join(copy, 'log.refused.db-wal')), found, what)
      }
    },
  )

  await t.test(
    'fault A5: an empty, zeroed, foreign or missing database is refused, and no new one is created',
    async (s) => {
      const harms: readonly [string, (path: string) => void][] = [
        ['empty', (path) => truncateSync(path, 0)],
        ['zeroed', (path) => changeFile(path, (bytes) => Buffer.alloc(bytes.length))],
        ['missing', (path) => rmSync(path)],
        ['foreign', (path) => writeFileSync(path, Buffer.alloc(pageBytes, 'x'))],
        ['another database', makeForeignDatabase],
        ['an empty database', (path) => makeDatabase(path, 'VACUUM')],
      ]
      for (const [what, harm] of harms) {
        for (const from of [base.closed, base.crashed]) {
          const copy = copyDirectory(s, from)
          rmSync(join(copy, 'log.db-wal'), { force: true })
          harm(join(copy, 'log.db'))
          const before = describeFile(join(copy, 'log.db'))
          assert.equal(await check(copy, whole, what), 'refused', what)
          assert.equal(describeFile(join(copy, 'log.db')), before, `${what}: the file must be unchanged`)
        }
      }
    },
  )

  await t.test('fault A5: a database that is missing beside its WAL is refused', async (s) => {
    const copy = copyDirectory(s, base.crashed)
    rmSync(join(copy, 'log.db'))
    rmSync(join(copy, 'log.mark'))
    assert.equal(await check(copy, whole, 'missing'), 'refused')
    assert.equal(existsSync(join(copy, 'log.db')), false)
  })

  await t.test('an old copy of the log with a newer mark is refused', async (s) => {
    const copy = copyDirectory(s, base.closed)
    const eventLog = await openEmbedded(copy)
    await eventLog.append(stream(), [batchOf(['newer'])])
    await eventLog.close()
    writeFileSync(join(copy, 'log.db'), readFileSync(join(base.closed, 'log.db')))
    assert.equal(await check(copy, whole, 'an old copy'), 'refused')
  })

  await t.test('a crash between a commit and its mark is harmless, and so is a missing mark', async (s) => {
    for (const mark of [Buffer.alloc(0), Buffer.alloc(16), markOf(1), null]) {
      const copy = copyDirectory(s, base.crashed)
      if (mark === null) rmSync(join(copy, 'log.mark'))
      else writeFileSync(join(copy, 'log.mark'), mark)
      assert.equal(await check(copy, wholeAfterCrash, 'mark behind'), 'whole')
    }
  })

  await t.test('a damaged mark is refused', async (s) => {
    const copy = copyDirectory(s, base.closed)
    changeFile(join(copy, 'log.mark'), (bytes) => {
      bytes[3]! ^= 4
      return bytes
    })
    assert.equal(await check(copy, whole, 'mark'), 'refused')
  })

  const pages = pagesOf(copyDirectory(t, base.closed))
  const flip = (dataDir: string, file: string, at: number) =>
    changeFile(join(dataDir, file), (bytes) => {
      bytes[at]! ^= 1 << random.between(0, 7)
      return bytes
    })
  const flips: readonly [string, number, () => number][] = [
    [
      'in an entry',
      bitFlips,
      () => offsetIn(random.pick(pages.filter(({ name }) => name === 'entries')), 0, pageBytes, random),
    ],
    ['in the header of a page', half, () => offsetIn(random.pick(pages), 0, 12, random)],
    ['in the list of cells of a page', half, () => offsetIn(random.pick(pages), 12, 60, random)],
    [
      'in the index of the entries',
      half,
      () => rowOffset(base.closed, random.pick(byName(pages, 'entries_by_offset')).page, random),
    ],
    ['in the rows of a cursor', half, () => rowOffset(base.closed, random.pick(byName(pages, ...books)).page, random)],
    [
      'in the rows of the settled ranges and attempts',
      half,
      () => rowOffset(base.closed, random.pick(byName(pages, 'settled_ahead', 'attempts')).page, random),
    ],
  ]
  const found: string[] = []
  for (const [what, times, offset] of flips) {
    await t.test(`fault A6: each of ${times} bits flipped ${what} is detected or harmless`, async (s) => {
      const results: string[] = []
      for (let sample = 0; sample < times; sample++) {
        const copy = copyDirectory(s, base.closed)
        const at = offset()
        flip(copy, 'log.db', at)
        results.push(await check(copy, whole, `bit at ${at}, page ${Math.floor(at / pageBytes) + 1}`))
      }
      tally(s, results)
      found.push(...results)
    })
  }
  // Some bytes of a header may have any value, so the few flips of one part can all be harmless.
  assert.ok(found.some((result) => result !== 'whole'))

  await t.test(
    `fault A6: none of ${bitFlips} bits flipped in the WAL of a crashed log loses an event undetected`,
    async (s) => {
      const { size } = statSync(join(base.crashed, 'log.db-wal'))
      const results: string[] = []
      for (let sample = 0; sample < bitFlips; sample++) {
        const copy = copyDirectory(s, base.crashed)
        const at = random.between(0, size - 12 * pageBytes)
        flip(copy, 'log.db-wal', at)
        results.push(await check(copy, wholeAfterCrash, `bit at ${at} of the WAL`))
      }
      tally(s, results)
    },
  )
})

test('an entry that is gone is counted as lost for each group, and all others are delivered', async (t) => {
  const dataDir = directoryFor(t)
  const groups = [{ name: group }, { name: 'second' }]
  const eventLog = await openEmbedded(dataDir)
  await eventLog.declare(topic, { partitions: 1, groups })
  for (const name of ['a', 'b', 'c', 'd']) await eventLog.append(stream(), [batchOf(named(name, 600))])
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const [a, ...others] = await takeAll(consumer)
  const [retried, kept] = [batchOf(named('a', 250)), batchOf(named('a', 350))]
  await consumer.settle([
    {
      delivery: a!,
      landed: 0,
      dead: 0,
      again: [retried, kept].map((batch) => ({ batch, attempt: 1, dueAtMs: 0 })),
    },
  ])
  assert.equal(others.length, 3)
  await eventLog.close()
  // Entries 2 and 4 are b and d, the last one; 5 holds the redelivery.
  const database = new DatabaseSync(join(dataDir, 'log.db'))
  database.exec('DELETE FROM entries WHERE append_number IN (2, 4, 5)')
  database.close()

  const reopened = await openEmbedded(dataDir)
  const first = await reopened.consume(topic, group, { leaseMs })
  const found = await takeAll(first)
  assert.deepEqual(idsOf(found), [...named('a', 350), ...named('c', 600)])
  await first.settle(found.map(landed))
  const terms = { accepted: 2400, landed: 950, lost: 1450 }
  assert.deepEqual(await ledgerOf(reopened), ledger(terms))
  const second = await reopened.consume(topic, 'second', { leaseMs })
  assert.deepEqual(idsOf(await takeAll(second)), [...named('a', 600), ...named('c', 600)])
  assert.deepEqual(
    await ledgerOf(reopened, 'second'),
    ledger({ accepted: 2400, waiting: 1200, lost: 1200, inFlight: 1200 }),
  )
  await reopened.append(stream(), [batchOf(['e'])])
  assert.deepEqual(idsOf(await takeAll(first)), ['e'])
  await reopened.close()
  const last = await openEmbedded(dataDir)
  assert.deepEqual(await ledgerOf(last), ledger({ ...terms, accepted: 2401, waiting: 1 }), 'the loss is counted once')
  await last.close()
})

test('an entry that is gone beside one that was settled out of order is counted as lost exactly', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openEmbedded(dataDir)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  for (const name of ['a', 'b', 'c']) await eventLog.append(stream(), [batchOf(named(name, 600))])
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const [, b] = await takeAll(consumer)
  await consumer.settle([landed(b!)])
  await eventLog.close()
  const database = new DatabaseSync(join(dataDir, 'log.db'))
  database.exec('DELETE FROM entries WHERE append_number = 1')
  database.close()

  const reopened = await openEmbedded(dataDir)
  const next = await reopened.consume(topic, group, { leaseMs })
  assert.deepEqual(idsOf(await takeAll(next)), named('c', 600))
  const terms = { accepted: 1800, landed: 600, lost: 600, waiting: 600, inFlight: 600 }
  assert.deepEqual(await ledgerOf(reopened), ledger(terms))
  await reopened.close()
})

test('an event that is gone frees the next one of its key at once, though others are due later', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openEmbedded(dataDir)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group, ordered: true }] })
  const ids = ['before', 'a', 'b', 'c']
  for (const id of ids) await eventLog.append(stream(), [batchOf([id])])
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const entries = await takeAll(consumer)
  await consumer.settle(
    entries.map((delivery, index) => again(delivery, index === 0 ? 4 : 5, { key: index === 0 ? 'other' : 'k' })),
  )
  await eventLog.close()
  // Entries 1 to 4 are those of the topic.
  const database = new DatabaseSync(join(dataDir, 'log.db'))
  database.exec(`DELETE FROM entries WHERE append_number = ${4 + 1 + ids.indexOf('a')}`)
  database.close()

  const reopened = await openEmbedded(dataDir)
  cleanup(t, () => reopened.close())
  const next = await reopened.consume(topic, group, { leaseMs })
  for (const found of [['before', 'b'], ['c'], []]) {
    const some = await take(next)
    assert.deepEqual(idsOf(some), found)
    await next.settle(some.map(landed))
  }
  assert.deepEqual(await ledgerOf(reopened), ledger({ accepted: 4, landed: 3, lost: 1 }))
})

test('readSettled returns a damaged entry as damaged, skips one that is gone, and returns the others whole', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openEmbedded(dataDir)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  for (const name of ['a', 'b', 'c', 'd']) await eventLog.append(stream(), [batchOf(named(name, 600))])
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  await consumer.settle((await takeAll(consumer)).map(landed))
  await eventLog.close()
  const database = new DatabaseSync(join(dataDir, 'log.db'))
  database.exec('UPDATE entries SET batch = zeroblob(length(batch)) WHERE append_number = 2')
  database.exec('DELETE FROM entries WHERE append_number = 3')
  database.close()

  const reopened = await openEmbedded(dataDir)
  const entries = await readAllSettled(reopened, { maxBytes: 1 })
  assert.deepEqual(
    entries.map(({ position, batch }) => [position.offset, batch.count, batch.damaged ?? false]),
    [
      [0, 600, false],
      [600, 600, true],
      [1800, 600, false],
    ],
  )
  assert.deepEqual(idsOf([entries[0]!, entries[2]!]), [...named('a', 600), ...named('d', 600)])
  await reopened.close()
})

/** The tables with one or few rows for each cursor and stream. */
const books = ['log', 'topics', 'consumer_groups', 'streams', 'cursors', 'ledgers', 'producers']

interface Page {
  readonly name: string
  readonly page: number
}

function byName(pages: readonly Page[], ...names: string[]): Page[] {
  return pages.filter(({ name }) => names.includes(name))
}

function offsetIn({ page }: Page, from: number, to: number, random: SeededRandom): number {
  return (page - 1) * pageBytes + from + random.between(0, to - from - 1)
}

/** An offset in the rows of a page: they are at its end, after the unused space. */
function rowOffset(dataDir: string, page: number, random: SeededRandom): number {
  const bytes = readFileSync(join(dataDir, 'log.db')).subarray((page - 1) * pageBytes, page * pageBytes)
  const header = page === 1 ? 100 : 0
  return (page - 1) * pageBytes + random.between(bytes.readUInt16BE(header + 5), pageBytes - 1)
}

function makeDatabase(path: string, sql: string): void {
  rmSync(path)
  const database = new DatabaseSync(path)
  database.exec(`PRAGMA page_size = ${pageBytes}; ${sql}`)
  database.close()
}

function makeForeignDatabase(path: string): void {
  makeDatabase(path, 'CREATE TABLE customers (name TEXT)')
}

function describeFile(path: string): string {
  return existsSync(path) ? `${statSync(path).size} bytes` : 'none'
}

/** The content of log.mark after this append. */
function markOf(appendNumber: number): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeBigUInt64LE(BigInt(appendNumber), 0)
  bytes.writeUInt32LE(1, 8)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 12)), 12)
  return bytes
}
