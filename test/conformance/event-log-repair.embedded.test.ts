// Inspecting and repairing a log: readable entries are kept, unreadable ones are counted, and the old file is kept.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import { type EventLog, never } from '../../src/event-log/event-log.ts'
import { inspectEventLog, repairEventLog } from '../../src/event-log/open-event-log.ts'
import { cleanup } from '../support/cleanup.ts'
import { samples } from '../support/depth.ts'
import { seededRandom } from '../support/random.ts'
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
  describeGroup,
  group,
  idsIn,
  idsOf,
  landed,
  leaseMs,
  stream,
  take,
  takeAll,
  topic,
} from './event-log-verbs.ts'

const pageBytes = 8192

const isCode = (code: string) => (error: unknown) => error instanceof MillraceError && error.code === code

async function readingOf(dataDir: string): Promise<Reading> {
  const judged = await judge(dataDir)
  if ('read' in judged) return judged.read
  throw 'refused' in judged ? judged.refused : judged.ended
}

/** Repairs the log and opens the result, whose ledger must add up. */
async function repairAndRead(dataDir: string) {
  const repair = repairEventLog({ dataDir })
  assert.ok(repair !== null, 'there was something to repair')
  const read = await readingOf(dataDir)
  assert.ok(read.balanced, 'the ledger adds up after the repair')
  assert.ok(
    inspectEventLog({ dataDir }).findings.every(({ needsRepair }) => !needsRepair),
    'nothing is left to repair',
  )
  return { repair, read }
}

test('the embedded log can be inspected and repaired', async (t) => {
  const base = await makeDamageBase(t)
  const random = seededRandom(t)
  const whole = await readingOf(copyDirectory(t, base.closed))
  const wholeAfterCrash = await readingOf(copyDirectory(t, base.crashed))

  await t.test('a sound log has no findings, its counts are reported, and there is nothing to repair', (s) => {
    for (const from of [base.closed, base.crashed]) {
      const dataDir = copyDirectory(s, from)
      const { inUseBy, findings, counts } = inspectEventLog({ dataDir })
      assert.deepEqual([inUseBy, findings, counts?.damagedEntries], [null, [], 0])
      assert.ok(counts!.entries > 30 && counts!.events > 15_000 && counts!.bytes > 500_000)
      assert.equal(repairEventLog({ dataDir }), null)
    }
  })

  await t.test('where there is no log, none is created', (s) => {
    const dataDir = directoryFor(s)
    assert.deepEqual(inspectEventLog({ dataDir }), { inUseBy: null, findings: [], counts: null })
    assert.equal(repairEventLog({ dataDir }), null)
    assert.deepEqual(readdirSync(dataDir), [])
  })

  await t.test('a log that is in use is not touched, and its holder is named', async (s) => {
    const dataDir = copyDirectory(s, base.closed)
    const eventLog = await openEmbedded(dataDir)
    assert.match(inspectEventLog({ dataDir }).inUseBy ?? '', new RegExp(`process ${process.pid} `))
    assert.throws(() => repairEventLog({ dataDir }), isCode('failed_precondition'))
    await eventLog.append(stream(), [batchOf(['still working'])])
    await eventLog.close()
  })

  await t.test('a damaged entry is reported, and needs no repair', (s) => {
    const dataDir = copyDirectory(s, base.closed)
    const page = pagesOf(dataDir).find(({ name, type }) => name === 'entries' && type === 'overflow')!
    changeFile(join(dataDir, 'log.db'), (bytes) => {
      bytes[(page.page - 1) * pageBytes + 100]! ^= 1
      return bytes
    })
    const { findings, counts } = inspectEventLog({ dataDir })
    assert.equal(counts?.damagedEntries, 1)
    assert.deepEqual(
      findings.map(({ needsRepair }) => needsRepair),
      [false],
    )
    assert.equal(repairEventLog({ dataDir }), null)
  })

  await t.test(
    'a truncated WAL: the readable entries are kept, and the number of lost entries is reported',
    async (s) => {
      const dataDir = copyDirectory(s, base.crashed)
      const oldBytes = readFileSync(join(dataDir, 'log.db'))
      const { size } = statSync(join(dataDir, 'log.db-wal'))
      truncateSync(join(dataDir, 'log.db-wal'), Math.floor(size * 0.6))
      const [finding] = inspectEventLog({ dataDir }).findings
      assert.equal(finding?.file, join(dataDir, 'log.db'))
      assert.match(
        `${finding?.expected} ${finding?.found} ${finding?.fix}`,
        /append number \d+.*\d+ as the last.*doctor --repair/,
      )
      const { repair, read } = await repairAndRead(dataDir)
      assert.ok(repair.lostEntries! > 0 && repair.entries > 0 && repair.events > 0)
      assert.equal(repair.epoch, 2)
      assert.ok(read.events.size > 0 && read.events.size < wholeAfterCrash.events.size)
      assert.ok(repair.keptAs !== null && statSync(repair.keptAs).size >= oldBytes.length)

      const eventLog = await openEmbedded(dataDir)
      const before = { epoch: 1, offsets: [1e6, 1e6, 1e6] }
      const { cursor, gap } = await eventLog.tail.read(topic, before, { maxBytes: 1, maxWaitMs: 10_000 })
      assert.deepEqual([cursor.epoch, gap], [2, { events: null }])
      const { positions } = await eventLog.append(stream(), [batchOf(['new'])])
      assert.equal(positions[0]?.epoch, 2)
      assert.equal((await eventLog.describe()).epoch, 2)
      assert.deepEqual(idsOf((await eventLog.tail.read(topic, cursor, { maxBytes: 1, maxWaitMs: 0 })).entries), ['new'])
      await eventLog.close()
    },
  )

  await t.test(
    'a bit flipped in the books loses no event: its group begins at the oldest place that is known',
    async (s) => {
      const names = [
        'log',
        'topics',
        'consumer_groups',
        'streams',
        'cursors',
        'ledgers',
        'settled_ahead',
        'attempts',
        'due',
      ]
      for (const name of names) {
        const dataDir = copyDirectory(s, base.closed)
        flipLastColumnButOne(dataDir, name)
        const before = inspectEventLog({ dataDir })
        assert.ok(
          before.findings.some(({ needsRepair }) => needsRepair),
          `${name}: no finding`,
        )
        const { repair, read } = await repairAndRead(dataDir)
        assert.deepEqual([repair.lostEntries, repair.lostEvents, read.lost], [0, 0, 0], name)
        const missing = [...whole.events.keys()].filter((id) => !read.events.has(id))
        assert.deepEqual(missing, [], name)
      }
    },
  )

  await t.test('a damaged index of the entries loses nothing: it is rebuilt from them', async (s) => {
    const [index] = pagesOf(copyDirectory(s, base.closed)).filter(({ name }) => name === 'entries_by_offset')
    for (let sample = 0; sample < samples(2, 30); sample++) {
      const dataDir = copyDirectory(s, base.closed)
      const start = (index!.page - 1) * pageBytes
      changeFile(join(dataDir, 'log.db'), (bytes) => {
        const content = bytes.readUInt16BE(start + 5)
        bytes[start + random.between(content, pageBytes - 1)]! ^= 1 << random.between(0, 7)
        return bytes
      })
      const { repair, read } = await repairAndRead(dataDir)
      assert.deepEqual([repair.lostEntries, repair.lostEvents, repair.damagedEntries], [0, 0, 0])
      assert.deepEqual(read.events, whole.events)
    }
  })

  await t.test('a truncated database: the remaining pages are read', async (s) => {
    for (const share of [0.3, 0.6, 0.9]) {
      const dataDir = copyDirectory(s, base.closed)
      const path = join(dataDir, 'log.db')
      truncateSync(path, Math.floor(statSync(path).size * share))
      const { repair, read } = await repairAndRead(dataDir)
      s.diagnostic(
        `${share}: ${repair.entries} entries kept, ${repair.lostEntries} gone, ${repair.lostEvents} events lost`,
      )
      assert.equal(statSync(repair.keptAs!).size, Math.floor(statSync(join(base.closed, 'log.db')).size * share))
      for (const id of read.events.keys()) assert.ok(whole.events.has(id), `${id} was settled, or never appended`)
    }
  })

  await t.test('zeroed pages: whatever they held, the repaired log opens and adds up', async (s) => {
    const pages = pagesOf(copyDirectory(s, base.closed)).filter(({ page }) => page > 1)
    for (let sample = 0; sample < samples(3, 60); sample++) {
      const dataDir = copyDirectory(s, base.closed)
      const { page, name, type } = random.pick(pages)
      changeFile(join(dataDir, 'log.db'), (bytes) => bytes.fill(0, (page - 1) * pageBytes, page * pageBytes))
      if (!inspectEventLog({ dataDir }).findings.some(({ needsRepair }) => needsRepair)) continue
      const { repair } = await repairAndRead(dataDir)
      // Without the root page of a table, nothing in it can be reached.
      if (name === 'entries' && type !== 'internal')
        assert.ok(repair.entries > 20, `page ${page} of ${name}: ${repair.entries} entries`)
    }
  })

  await t.test('partly zeroed pages: their readable entries are kept, and so is everything after them', (s) => {
    const leaves = pagesOf(copyDirectory(s, base.closed)).filter(
      ({ name, type }) => name === 'entries' && type === 'leaf',
    )
    for (const { page } of leaves) {
      const dataDir = copyDirectory(s, base.closed)
      const from = random.between(100, pageBytes - 100)
      changeFile(join(dataDir, 'log.db'), (bytes) => bytes.fill(0, (page - 1) * pageBytes + from, page * pageBytes))
      writeFileSync(join(dataDir, 'log.mark'), 'no mark of ours.')
      const repair = repairEventLog({ dataDir })
      assert.ok(repair!.entries > 25, `page ${page} from ${from}: ${repair!.entries} entries`)
    }
  })

  await t.test('several damaged pages at once: the repaired log opens and adds up', async (s) => {
    const pages = pagesOf(copyDirectory(s, base.closed)).filter(({ page }) => page > 1)
    for (let sample = 0; sample < samples(3, 60); sample++) {
      const dataDir = copyDirectory(s, base.closed)
      changeFile(join(dataDir, 'log.db'), (bytes) => {
        for (let count = 0; count < 3; count++) {
          const start = (random.pick(pages).page - 1) * pageBytes
          const from = start + random.between(0, pageBytes - 1)
          if (random.between(0, 1) === 0) bytes.fill(0, from, start + pageBytes)
          else bytes[from]! ^= 1 << random.between(0, 7)
        }
        return bytes
      })
      if (inspectEventLog({ dataDir }).findings.some(({ needsRepair }) => needsRepair)) await repairAndRead(dataDir)
    }
  })

  await t.test('nothing is readable: an empty log is created, and the old files are kept beside it', async (s) => {
    const harms: readonly [string, (path: string) => void][] = [
      ['zeroed', (path) => changeFile(path, (bytes) => Buffer.alloc(bytes.length))],
      ['foreign', (path) => writeFileSync(path, Buffer.alloc(pageBytes, 'x'))],
      ['another database', makeForeignDatabase],
      ['missing', (path) => rmSync(path)],
    ]
    for (const [what, harm] of harms) {
      const dataDir = copyDirectory(s, base.closed)
      harm(join(dataDir, 'log.db'))
      const repair = repairEventLog({ dataDir })
      assert.equal(repair?.entries, 0, what)
      assert.ok(repair!.lostEntries! > 30, what)
      assert.equal(repair!.keptAs !== null, what !== 'missing', what)
      const eventLog = await openEmbedded(dataDir)
      await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
      await eventLog.append(stream(), [batchOf(['a'])])
      assert.deepEqual(idsOf(await takeAll(await eventLog.consume(topic, group, { leaseMs }))), ['a'])
      assert.equal((await describeGroup(eventLog)).accepted, 1)
      await eventLog.close()
    }
  })

  await t.test('a damaged mark is rewritten, and everything is kept', async (s) => {
    const dataDir = copyDirectory(s, base.closed)
    writeFileSync(join(dataDir, 'log.mark'), 'no mark of ours.')
    const { repair, read } = await repairAndRead(dataDir)
    assert.deepEqual([repair.lostEntries, repair.lostEvents], [0, 0])
    assert.deepEqual(read.events, whole.events)
  })

  await t.test('an interrupted repair leaves the log as it was and can be repeated', async (s) => {
    const dataDir = copyDirectory(s, base.closed)
    writeFileSync(join(dataDir, 'log.mark'), 'no mark of ours.')
    writeFileSync(join(dataDir, 'log.repairing.db'), 'half of it')
    writeFileSync(join(dataDir, 'log.repairing.db-wal'), 'half of it')
    const { read } = await repairAndRead(dataDir)
    assert.deepEqual(read.events, whole.events)
    assert.deepEqual(readdirSync(dataDir).sort(), ['log.damaged-1.db', 'log.db', 'log.mark'])
  })

  await t.test('when neither the books nor the mark can be read, the loss is reported as unknown, not 0', async (s) => {
    const dataDir = copyDirectory(s, base.closed)
    makeForeignDatabase(join(dataDir, 'log.db'))
    writeFileSync(join(dataDir, 'log.mark'), 'no mark of ours.')
    assert.equal(repairEventLog({ dataDir })?.lostEntries, null)
  })

  await t.test('a repair keeps the WAL with which the log was refused beside the old database', async (s) => {
    const dataDir = copyDirectory(s, base.crashed)
    truncateSync(join(dataDir, 'log.db-wal'), 3 * pageBytes)
    const wal = readFileSync(join(dataDir, 'log.db-wal'))
    await assert.rejects(openEmbedded(dataDir), isCode('corrupt'))
    repairEventLog({ dataDir })
    assert.deepEqual(readFileSync(join(dataDir, 'log.damaged-1.refused-wal')), wal)
    assert.ok(!existsSync(join(dataDir, 'log.refused.db-wal')))
  })

  for (const [age, version] of [
    ['newer', 7],
    ['older', 1],
  ] as const) {
    await t.test(
      `a log of ${age === 'newer' ? 'a newer' : 'an older'} version is refused with both, and not touched`,
      async (s) => {
        const dataDir = copyDirectory(s, base.closed)
        const database = new DatabaseSync(join(dataDir, 'log.db'))
        database.exec(`PRAGMA user_version = ${version}`)
        database.close()
        const before = hashes(dataDir)
        const pattern = new RegExp(`version ${version}; .* reads \\d\\. Start the ${age} version`)
        const isOther = (error: unknown) => isCode('failed_precondition')(error) && pattern.test(String(error))
        await assert.rejects(openEmbedded(dataDir), isOther)
        assert.throws(() => inspectEventLog({ dataDir }), isOther)
        assert.throws(() => repairEventLog({ dataDir }), isOther)
        assert.deepEqual(hashes(dataDir), before)
      },
    )
  }
})

test('a repair keeps reopened batches, with their attempt, offset and count', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openEmbedded(dataDir)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  const { positions } = await eventLog.append(stream(), [batchOf(['a']), batchOf(['b'])])
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  await consumer.settle((await takeAll(consumer)).map(landed))
  await eventLog.reopen(stream(), group, [{ batch: batchOf(['b']), attempt: 6, offset: positions[1]!.offset }])
  await eventLog.close()
  // The group's ledger is unreadable, and so are the rows of its own streams.
  const database = new DatabaseSync(join(dataDir, 'log.db'))
  database.exec('UPDATE ledgers SET crc = crc + 12345')
  database.exec("UPDATE streams SET crc = crc + 12345 WHERE group_number <> 0 AND lane = 'normal'")
  database.close()
  assert.ok(repairEventLog({ dataDir }) !== null)

  const repaired = await openEmbedded(dataDir)
  const { accepted, reopened, waiting, landed: done, dead, lost, auditedWaiting } = await describeGroup(repaired)
  assert.deepEqual([accepted, waiting, auditedWaiting, lost], [2, 1, 1, 0])
  assert.equal(accepted + reopened, waiting + done + dead)
  const deliveries = await takeAll(await repaired.consume(topic, group, { leaseMs }))
  assert.deepEqual(
    deliveries.map(({ attempt, position }) => [attempt, position.offset]),
    [[7, positions[1]!.offset]],
  )
  assert.deepEqual(idsOf(deliveries), ['b'])
  await repaired.close()
})

/** Changes one number in a row of a table as a flipped bit would: its checksum no longer matches. */
function flipLastColumnButOne(dataDir: string, table: string): void {
  const database = new DatabaseSync(join(dataDir, 'log.db'))
  const columns = database
    .prepare(`PRAGMA table_info(${table})`)
    .all()
    .map(({ name }) => String(name))
  const column = columns[columns.length - 2]
  const key = columns[0]
  const isText = database.prepare(`SELECT typeof(${column}) AS type FROM ${table}`).get()?.type === 'text'
  // A letter becomes the next one.
  const changed = isText ? `replace(${column}, 'n', 'o')` : `${column} + CASE ${column} % 2 WHEN 0 THEN 1 ELSE -1 END`
  database.exec(`UPDATE ${table} SET ${column} = ${changed} WHERE ${key} = (SELECT max(${key}) FROM ${table})`)
  database.close()
}

function makeForeignDatabase(path: string): void {
  rmSync(path)
  const database = new DatabaseSync(path)
  database.exec(`PRAGMA page_size = ${pageBytes}; CREATE TABLE customers (name TEXT)`)
  database.close()
}

function hashes(dataDir: string): string[] {
  return readdirSync(dataDir).map((name) => {
    const path = join(dataDir, name)
    return `${name} ${existsSync(path) ? createHash('sha256').update(readFileSync(path)).digest('hex') : ''}`
  })
}

test('a repair keeps the pauses of groups', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openEmbedded(dataDir)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }, { name: 'other' }] })
  await eventLog.setFlow(topic, group, { paused: 'maintenance' })
  await eventLog.close()
  changeFile(join(dataDir, 'log.mark'), (bytes) => Buffer.from(bytes.map((byte) => byte ^ 1)))
  assert.ok(repairEventLog({ dataDir }) !== null)
  const repaired = await openEmbedded(dataDir)
  cleanup(t, () => repaired.close())
  assert.deepEqual((await describeGroup(repaired)).flow, { paused: 'maintenance' })
  assert.deepEqual((await describeGroup(repaired, 'other')).flow, null)
})

test('a repair keeps the order of keys, and which groups are ordered', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openEmbedded(dataDir)
  const declaration = { partitions: 1, groups: [{ name: group, ordered: true }] }
  await eventLog.declare(topic, declaration)
  for (const id of ['a', 'b']) await eventLog.append(stream(), [batchOf([id])])
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const entries = await takeAll(consumer)
  await consumer.settle(entries.toReversed().map((delivery) => again(delivery, 0, { key: 'k' })))
  await eventLog.close()
  changeFile(join(dataDir, 'log.mark'), (bytes) => Buffer.from(bytes.map((byte) => byte ^ 1)))
  assert.ok(repairEventLog({ dataDir }) !== null)

  const repaired = await openEmbedded(dataDir)
  cleanup(t, () => repaired.close())
  await repaired.declare(topic, declaration)
  assert.deepEqual(await repaired.heldKeys(stream(), group), [{ key: 'k', events: 2, attempt: 1, dueAtMs: 0 }])
  const next = await repaired.consume(topic, group, { leaseMs })
  for (const id of ['a', 'b']) {
    const [delivery, ...more] = await takeAll(next)
    assert.deepEqual([idsOf([delivery!]), more.length], [[id], 0])
    await next.settle([landed(delivery!)])
  }
})

test('a repair that cannot read where a stream ends gives no offset a second time', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openEmbedded(dataDir)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  await eventLog.append(stream(), [batchOf(['a'])])
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  await consumer.settle((await takeAll(consumer)).map(landed))
  await eventLog.trim(topic, { keepSinceMs: Date.now() + 1000, maxBytes: 0 })
  await eventLog.close()
  // Only the group's cursor still says that there was an event.
  const database = new DatabaseSync(join(dataDir, 'log.db'))
  assert.equal(database.prepare('SELECT count(*) AS entries FROM entries').get()?.entries, 0)
  database.exec('UPDATE streams SET crc = crc + 12345')
  database.close()
  assert.ok(repairEventLog({ dataDir }) !== null)

  const repaired = await openEmbedded(dataDir)
  cleanup(t, () => repaired.close())
  await repaired.append(stream(), [batchOf(['b'])])
  assert.deepEqual(idsOf(await takeAll(await repaired.consume(topic, group, { leaseMs }))), ['b'])
})

test('a repair that loses the key of an event frees those behind it, and what was held under the key', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openEmbedded(dataDir)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group, ordered: true }] })
  const ids = ['a', 'b', 'c', 'held', 'kept']
  for (const id of ids) await eventLog.append(stream(), [batchOf([id])])
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  for (const delivery of await takeAll(consumer)) {
    const [id] = idsIn(delivery)
    const isHeld = id === 'held' || id === 'kept'
    await consumer.settle([again(delivery, isHeld ? never : 0, { key: isHeld ? id : 'k' })])
  }
  await eventLog.close()
  const database = new DatabaseSync(join(dataDir, 'log.db'))
  database.exec(`UPDATE due SET crc = crc + 1 WHERE origin_offset IN (${ids.indexOf('a')}, ${ids.indexOf('held')})`)
  database.close()
  assert.ok(repairEventLog({ dataDir }) !== null)

  const repaired = await openEmbedded(dataDir)
  cleanup(t, () => repaired.close())
  const next = await repaired.consume(topic, group, { leaseMs })
  for (const found of [['a', 'b', 'held'], ['c'], []]) {
    const some = await takeAll(next)
    assert.deepEqual(idsOf(some).sort(), found)
    await next.settle(some.map(landed))
  }
  assert.deepEqual(await repaired.heldKeys(stream(), group), [{ key: 'kept', events: 1, attempt: 1, dueAtMs: never }])
})

test('a repair keeps requests and replies; one that does not match its checksum is unknown', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openEmbedded(dataDir)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  for (const id of ['answered', 'damaged', 'waiting']) await send(eventLog, id)
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const [delivery] = await take(consumer, 1)
  const reply = { id: 'answered', bytes: Buffer.from('42'), ttlMs, inbox: 'none' }
  await consumer.settle([{ ...landed(delivery!), reply }])
  await eventLog.close()
  const spoil = (change: string) => {
    const database = new DatabaseSync(join(dataDir, 'log.db'))
    database.exec(`UPDATE requests SET ${change} WHERE id = 'damaged'`)
    database.close()
    return inspectEventLog({ dataDir }).findings.map(({ found, needsRepair }) => [found, needsRepair])
  }
  assert.deepEqual(spoil('first_offset = first_offset + (1152921504606846976)'), [['a larger number', true]])
  assert.deepEqual(spoil(`first_offset = 1, fingerprint = 'g'`), [['1 that do not match', true]])
  assert.ok(repairEventLog({ dataDir }) !== null)

  const repaired = await openEmbedded(dataDir)
  const stored = await Promise.all(
    ['answered', 'damaged', 'waiting'].map((id) => repaired.replies.get(topic, group, id)),
  )
  assert.deepEqual(stored, [{ stage: 'replied', bytes: new Uint8Array(reply.bytes) }, null, { stage: 'accepted' }])
  await repaired.close()
})

test('a log of the format before requests is opened with what it has, and keeps requests from then on', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openEmbedded(dataDir)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  await eventLog.append(stream(), [batchOf(['old'])])
  await eventLog.close()
  const database = new DatabaseSync(join(dataDir, 'log.db'))
  database.exec('DROP TABLE requests; PRAGMA user_version = 5')
  database.close()

  const upgraded = await openEmbedded(dataDir)
  await send(upgraded, 'new')
  await upgraded.close()
  const reopened = await openEmbedded(dataDir)
  assert.equal((await send(reopened, 'new')).duplicate, true)
  assert.deepEqual(idsOf(await takeAll(await reopened.consume(topic, group, { leaseMs }))), ['old', 'new'])
  await reopened.close()
})

const ttlMs = 600_000

function send(eventLog: EventLog, id: string) {
  return eventLog.append(stream(), [batchOf([id])], { once: { id, fingerprint: 'f', ttlMs } })
}
