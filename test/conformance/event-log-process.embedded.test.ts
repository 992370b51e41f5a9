// The embedded log and its process: kill -9, a second process, a full disk, a failed write, and its use of memory and
// disk.

import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { MillraceError } from '../../src/errors.ts'
import { openEmbeddedLog } from '../../src/event-log/embedded/open-embedded-log.ts'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { openEventLog } from '../../src/event-log/open-event-log.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { seededRandom } from '../support/random.ts'
import { skip } from '../support/skip.ts'
import { mountTmpfs } from '../support/tmpfs.ts'
import { directoryFor, openEmbedded } from './event-log-copies.ts'
import {
  again,
  batchOf,
  describeGroup,
  group,
  idsOf,
  landed,
  leaseMs,
  ledger,
  ledgerOf,
  named,
  perLane,
  readAllSettled,
  stream,
  take,
  takeAll,
  topic,
} from './event-log-verbs.ts'

const isCode = (code: string) => (error: unknown) => error instanceof MillraceError && error.code === code

const processMain = fileURLToPath(new URL('./event-log-process-main.ts', import.meta.url))

interface LogProcess {
  readonly child: ChildProcessByStdio<null, Readable, Readable>
  /** Complete lines that it has printed. */
  lines(): string[]
  said(beginning: string): Promise<void>
}

/** @param limitBytes maximum size of a file of the process: a write beyond it is an I/O error. */
function startProcess(t: TestContext, args: readonly string[], limitBytes?: number): LogProcess {
  const limit = `trap '' XFSZ; ulimit -f ${Math.floor((limitBytes ?? 0) / 512)}; exec "$0" "$@"`
  const command = [process.execPath, processMain, ...args]
  const whole = limitBytes === undefined ? command : ['/bin/sh', '-c', limit, ...command]
  const child = spawn(whole[0]!, whole.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  child.stdout.on('data', (text) => {
    output += text
  })
  child.stderr.on('data', (text) => {
    errors += text
  })
  cleanup(t, () => {
    child.kill('SIGKILL')
    if (errors !== '') t.diagnostic(errors)
  })
  const lines = () => output.split('\n').slice(0, -1)
  const said = async (beginning: string) => {
    await eventually(
      () =>
        assert.ok(
          lines().some((line) => line.startsWith(beginning)),
          output.slice(-500),
        ),
      {
        withinMs: 30_000,
        what: `"${beginning}"`,
      },
    )
  }
  return { child, lines, said }
}

async function openWithTopic(dataDir: string, more: Parameters<typeof openEmbedded>[1] = {}): Promise<EventLog> {
  const eventLog = await openEmbedded(dataDir, more)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  return eventLog
}

test('kill -9 during appends, reopens and settlements: everything acknowledged is there, and settled events stay settled', async (t) => {
  const random = seededRandom(t)
  const dataDir = directoryFor(t)
  const accepted = new Set<string>()
  const reopened = new Set<string>()
  const settled = new Set<string>()
  for (let round = 0; round < 5; round++) {
    const process = startProcess(t, [dataDir, String(round * 1_000_000), round % 2 === 0 ? 'append' : 'reopen too'])
    await process.said('accepted')
    await sleep(random.between(0, 300))
    assert.equal(process.child.exitCode, null, 'the process ended by itself')
    process.child.kill('SIGKILL')
    await once(process.child, 'exit')
    for (const line of process.lines()) {
      const [what, ...words] = line.split(' ')
      if (what === 'settled') for (const id of words) settled.add(id)
      if (what === 'reopened') reopened.add(words[0]!)
      if (what !== 'accepted') continue
      for (let number = Number(words[0]); number <= Number(words[1]); number++) accepted.add(String(number))
    }
  }
  const counts = `${accepted.size} accepted, ${reopened.size} reopened, ${settled.size} settled`
  assert.ok(accepted.size > 200 && reopened.size > 0 && settled.size > 0, counts)
  const eventLog = await openWithTopic(dataDir)
  const ids = idsOf(await takeAll(await eventLog.consume(topic, group, { leaseMs })))
  const found = new Set(ids)
  assert.equal(found.size, ids.length, 'an event was delivered twice')
  for (const id of settled) assert.ok(!found.has(id), `${id} was settled and is redelivered`)
  const terms = await describeGroup(eventLog)
  const { waiting, landed: done, auditedWaiting, lost } = terms
  assert.deepEqual([waiting, auditedWaiting, lost], [ids.length, ids.length, 0])
  assert.equal(terms.accepted + terms.reopened, waiting + done)
  assert.ok(terms.reopened >= reopened.size, `${terms.reopened} of ${reopened.size} reopened events are counted`)
  // Calls without a reply may or may not have taken effect: events missing here were settled without an
  // acknowledgement.
  const missing = [...accepted, ...reopened].filter((id) => !found.has(id) && !settled.has(id))
  assert.ok(missing.length <= done - settled.size, `${missing.length} of the events are neither waiting nor landed`)
  await eventLog.close()
})

test('a second process is refused at once with the process that holds the data directory, which is not disturbed', async (t) => {
  const dataDir = directoryFor(t)
  const process = startProcess(t, [dataDir, '0', 'append'])
  await process.said('accepted')
  const startedAt = performance.now()
  await assert.rejects(openEmbedded(dataDir), (error) => {
    assert.ok(isCode('failed_precondition')(error))
    assert.match(
      (error as Error).message,
      new RegExp(`in use by process ${process.child.pid} \\(since 20.*MILLRACE_DATA_DIR`),
    )
    return true
  })
  assert.ok(performance.now() - startedAt < 3000)
  const before = process.lines().length
  await eventually(() => assert.ok(process.lines().length > before + 5))
})

test('a second log in the same process is refused too', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openWithTopic(dataDir)
  await assert.rejects(openEmbedded(dataDir), isCode('failed_precondition'))
  await eventLog.append(stream(), [batchOf(['a'])])
  await eventLog.close()
  const next = await openEmbedded(dataDir)
  await next.close()
  assert.equal(existsSync(join(dataDir, 'holder.json')), false, 'the data directory is not held any more')
})

test('the data directory is created when it is missing; when that fails, the error names it and its variable', async (t) => {
  const parent = directoryFor(t)
  const eventLog = await openEmbedded(join(parent, 'a', 'b'))
  assert.deepEqual(JSON.parse(readFileSync(join(parent, 'a', 'b', 'holder.json'), 'utf8')).pid, process.pid)
  await eventLog.close()
  writeFileSync(join(parent, 'file'), '')
  await assert.rejects(openEmbedded(join(parent, 'file', 'data')), (error) => {
    assert.ok(isCode('unavailable')(error))
    assert.match((error as Error).message, /file\/data.*MILLRACE_DATA_DIR/)
    return true
  })
})

test('a failed write ends the log: nothing more is accepted or handed out, and accepted events are there after a restart', async (t) => {
  const dataDir = directoryFor(t)
  const limited = startProcess(t, [dataDir, '0', 'reopen too'], 400_000)
  await once(limited.child, 'exit')
  const lines = limited.lines()
  const failedAt = lines.findIndex((line) => line.startsWith('failed'))
  assert.match(lines[failedAt] ?? '', /^failed unavailable .*(I\/O|failed)/)
  assert.equal(lines.slice(failedAt).filter((line) => /^(accepted|reopened|settled)/.test(line)).length, 0)
  assert.deepEqual(
    lines.filter((line) => line.startsWith('ended')),
    Array.from({ length: 5 }, () => 'ended unavailable'),
  )
  assert.equal(lines.at(-1), 'afterwards unavailable')

  const eventLog = await openWithTopic(dataDir)
  const accepted = lines.filter((line) => line.startsWith('accepted')).length * 20
  const { accepted: stored, waiting, auditedWaiting } = await describeGroup(eventLog)
  assert.ok(stored >= accepted, `${stored} events are there, ${accepted} were accepted`)
  assert.equal(waiting, auditedWaiting)
  await eventLog.close()
})

test('fault A8: on a full disk appends are refused before the reserve is used, all else continues, and freed space is noticed', async (t) => {
  const mounted = mountTmpfs(t, 16)
  if ('reason' in mounted) return skip(t, mounted.reason)
  const dataDir = join(mounted.path, 'data')
  mkdirSync(dataDir)
  const reserve = 2 * 1024 * 1024
  const seen: string[] = []
  const eventLog = await openEventLog(
    { dataDir, diskReserveBytes: reserve },
    { now: Date.now, logger: { warn: () => seen.push('full'), info: () => seen.push('room') } },
  )
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const bytes = Buffer.alloc(100_000, 1)
  const append = () => eventLog.append(stream(), [{ bytes, count: 600, receivedAtMicros: 1 }])
  let accepted = 0
  const appendUntilRefused = async (): Promise<unknown> => {
    for (;;) {
      try {
        await append()
        accepted++
      } catch (error) {
        return error
      }
    }
  }
  const refused = await appendUntilRefused()
  assert.ok(isCode('disk_full')(refused) && (refused as MillraceError).retryable)
  assert.ok(accepted > 20, `only ${accepted} appends of 100 kB were taken on 16 MB`)
  const { bavail, bsize } = statfsSync(dataDir)
  assert.ok(bavail * bsize >= reserve, `${bavail * bsize} bytes are free`)
  assert.deepEqual(seen, ['full'])
  const reopened = [{ batch: { bytes, count: 600, receivedAtMicros: 1 }, attempt: 1, offset: 0 }]
  await assert.rejects(eventLog.reopen(stream(), group, reopened), isCode('disk_full'))

  // The reserve is for handing out, settling and trimming: all of them continue, again and again.
  for (let round = 0; round < 200; round++) {
    const [delivery] = await take(consumer, 1)
    await consumer.settle([
      { delivery: delivery!, landed: 0, dead: 0, again: [{ batch: delivery!.batch, attempt: 1, dueAtMs: 0 }] },
    ])
  }
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: accepted * 600, waiting: accepted * 600 }))
  assert.ok(isCode('disk_full')(await appendUntilRefused()))
  await consumer.settle((await takeAll(consumer)).map(landed))
  await eventLog.trim(topic, { keepSinceMs: Number.MAX_SAFE_INTEGER / 1e6, maxBytes: 0 })

  // When there is space again, appends are admitted without a restart.
  await eventually(append, { withinMs: 5000 })
  assert.equal(seen.at(-1), 'room')
  const again = await eventLog.describe()
  assert.equal(again.topics[0]?.groups[0]?.auditedWaiting, 600)
  await eventLog.close()
})

test('fault A8: on a full disk a reopen is refused completely, and redeliveries settled in the same commit are kept', async (t) => {
  const dataDir = directoryFor(t)
  const roomy = await openWithTopic(dataDir)
  for (const id of ['a', 'b', 'c']) await roomy.append(stream(), [batchOf([id])])
  await roomy.close()

  const tight = await openEmbedded(dataDir, { diskReserveBytes: Number.MAX_SAFE_INTEGER })
  const consumer = await tight.consume(topic, group, { leaseMs })
  const [a, b, c] = await takeAll(consumer)
  const reopened = ['x', 'y'].map((id) => ({ batch: batchOf([id]), attempt: 1, offset: 0 }))
  // All of it is in one group commit.
  const results = await Promise.allSettled([
    consumer.settle([again(a!, 0)]),
    tight.reopen(stream(), group, reopened),
    consumer.settle([again(b!, 0), landed(c!)]),
    tight.reopen(stream(), group, reopened),
    tight.reopen(stream('low'), group, reopened),
  ])
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? 'done' : (result.reason as MillraceError).code)),
    ['done', 'disk_full', 'done', 'disk_full', 'disk_full'],
  )
  assert.deepEqual(await ledgerOf(tight), ledger({ accepted: 3, waiting: 2, landed: 1 }))
  await tight.close()

  const reopenedLog = await openWithTopic(dataDir)
  await reopenedLog.reopen(stream(), group, reopened)
  const next = await reopenedLog.consume(topic, group, { leaseMs })
  const deliveries = await takeAll(next)
  assert.deepEqual(
    deliveries.map((delivery) => [idsOf([delivery]), delivery.attempt]),
    [
      [['a'], 2],
      [['b'], 2],
      [['x'], 2],
      [['y'], 2],
    ],
  )
  await next.settle(deliveries.map(landed))
  assert.deepEqual(await ledgerOf(reopenedLog), ledger({ accepted: 3, reopened: 2, landed: 5 }))
  await reopenedLog.close()
})

test('fault A8: a disk that other programs fill to the last byte loses no accepted event', async (t) => {
  const mounted = mountTmpfs(t, 16)
  if ('reason' in mounted) return skip(t, mounted.reason)
  const dataDir = join(mounted.path, 'data')
  mkdirSync(dataDir)
  const eventLog = await openWithTopic(dataDir)
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  for (let index = 0; index < 20; index++) await eventLog.append(stream(), [batchOf(named(`${index}.`, 600))])
  const [delivery] = await take(consumer, 1)
  const ballast = join(mounted.path, 'ballast')
  spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4k'])
  assert.equal(statfsSync(dataDir).bavail, 0)

  await assert.rejects(eventLog.append(stream(), [batchOf(named('refused', 600))]), isCode('disk_full'))
  let isSettled = false
  const settling = consumer.settle([landed(delivery!)]).then(() => {
    isSettled = true
  })
  const appending = eventLog.append(stream(), [batchOf(named('refused too', 600))])
  await assert.rejects(appending, isCode('disk_full'))
  const batches = [{ batch: batchOf(named('refused', 600)), attempt: 1, offset: 0 }]
  await assert.rejects(eventLog.reopen(stream(), group, batches), isCode('disk_full'))
  const before = isSettled
  rmSync(ballast)
  await settling
  await eventually(() => eventLog.append(stream(), [batchOf(named('new', 600))]), { withinMs: 5000 })
  t.diagnostic(`the settlement ${before ? 'found' : 'waited for'} space`)
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 21 * 600, waiting: 20 * 600, landed: 600 }))
  const ids = idsOf(await takeAll(consumer))
  assert.deepEqual(ids, [
    ...named('', 20)
      .slice(1)
      .flatMap((index) => named(`${index}.`, 600)),
    ...named('new', 600),
  ])
  await eventLog.close()
  const reopened = await openWithTopic(dataDir)
  assert.deepEqual(await ledgerOf(reopened), ledger({ accepted: 21 * 600, waiting: 20 * 600, landed: 600 }))
  await reopened.close()
})

test('fault A8: a commit that fails on a full disk is rolled back: a waiting consumer keeps waiting, and nothing is counted', async (t) => {
  const mounted = mountTmpfs(t, 16)
  if ('reason' in mounted) return skip(t, mounted.reason)
  const dataDir = join(mounted.path, 'data')
  mkdirSync(dataDir)
  const eventLog = await openWithTopic(dataDir)
  await eventLog.append(stream(), [batchOf(['first'])], { producer: { id: 'p', epoch: 1, sequence: 1 } })
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  await consumer.settle((await take(consumer)).map(landed))
  const ballast = join(mounted.path, 'ballast')
  // The free space is less than the pages of one commit, but more than the append seems to need.
  const { bavail, bsize } = statfsSync(dataDir)
  writeFileSync(ballast, Buffer.alloc((bavail - 4) * bsize))

  const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 30_000 })
  const message = { producer: { id: 'p', epoch: 1, sequence: 2 } }
  for (let round = 0; round < 3; round++) {
    const sends = [batchOf(['refused']), batchOf(['refused too'])].map((batch) => eventLog.append(stream(), [batch]))
    const numbered = eventLog.append(stream(), [batchOf(['second'])], message)
    const reopening = eventLog.reopen(stream(), group, [{ batch: batchOf(['first']), attempt: 1, offset: 0 }])
    for (const send of [...sends, numbered, reopening]) await assert.rejects(send, isCode('disk_full'))
  }
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 1, landed: 1 }))
  rmSync(ballast)
  const { positions } = await eventually(() => eventLog.append(stream(), [batchOf(['second'])], message), {
    withinMs: 5000,
  })
  assert.equal(positions[0]?.offset, 1)
  const deliveries = await waiting
  assert.deepEqual([idsOf(deliveries), deliveries[0]?.attempt], [['second'], 1])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 2, waiting: 1, landed: 1, inFlight: 1 }))
  await eventLog.close()
  const reopened = await openWithTopic(dataDir)
  assert.deepEqual(await ledgerOf(reopened), ledger({ accepted: 2, waiting: 1, landed: 1 }))
  const [again] = await take(await reopened.consume(topic, group, { leaseMs }))
  assert.equal(again?.attempt, 1)
  await reopened.close()
})

test('small appends of one event-loop turn become one entry, and each caller gets the position of its own events', async (t) => {
  const commits: number[] = []
  const eventLog = await openEventLog(
    { dataDir: directoryFor(t), diskReserveBytes: 0 },
    { now: Date.now, logger: { info() {}, warn() {} }, onCommit: ({ entries }) => commits.push(entries) },
  )
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  commits.length = 0
  const ids = named('e', 2500)
  const appended = await Promise.all(ids.map((id) => eventLog.append(stream(), [batchOf([id])])))
  assert.deepEqual(
    appended.map(({ positions }) => positions[0]?.offset),
    ids.map((_, index) => index),
  )
  assert.equal(
    commits.reduce((sum, entries) => sum + entries, 0),
    3,
    'entries are cut at 1,000 events',
  )
  const deliveries = await takeAll(await eventLog.consume(topic, group, { leaseMs }))
  assert.deepEqual(
    deliveries.map(({ batch }) => batch.count),
    [1000, 1000, 500],
  )
  assert.deepEqual(idsOf(deliveries), ids)
  await eventLog.close()
})

test('an append that is made while the thread is still to refuse an earlier one is refused too', async (t) => {
  const eventLog = await openWithTopic(directoryFor(t))
  await eventLog.append(stream(), [batchOf(named('a', 4))])
  const maxWaiting = { maxEvents: 5, maxBytes: 1e9 }
  let overtaken = 0
  for (let round = 0; round < 20; round++) {
    let isKnown = false
    const large = eventLog.append(stream(), [batchOf(named('b', 2))], { maxWaiting }).catch((error: unknown) => {
      isKnown = true
      return error
    })
    // The first call is on its way to the thread now.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    if (isKnown) continue
    overtaken++
    await assert.rejects(eventLog.append(stream(), [batchOf(['c'])], { maxWaiting }), isCode('backlogged'))
    assert.ok(isCode('backlogged')(await large))
  }
  assert.ok(overtaken > 0, 'the thread was never slower than a turn')
  await eventLog.append(stream(), [batchOf(['c'])], { maxWaiting })
  assert.deepEqual(idsOf(await takeAll(await eventLog.consume(topic, group, { leaseMs }))), [...named('a', 4), 'c'])
  await eventLog.close()
})

test('a dropped group with a long backlog is removed in steps, also after a restart', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openWithTopic(dataDir)
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  for (let index = 0; index < 3; index++) await eventLog.append(stream(), [batchOf(named(`${index}.`, 700))])
  for (const delivery of await takeAll(consumer)) {
    const retries = idsOf([delivery]).map((id) => ({ batch: batchOf([id]), attempt: 1, dueAtMs: Date.now() + 1e6 }))
    await consumer.settle([{ delivery, landed: 0, dead: 0, again: retries }])
  }
  assert.equal(await eventLog.dropGroup(topic, group), 2100)
  await eventLog.close()
  const again = await openWithTopic(dataDir)
  assert.deepEqual(await ledgerOf(again), ledger({ accepted: 2100, waiting: 2100 }))
  await eventually(async () => {
    await again.append(stream('low'), [batchOf(['tick'])])
    const copy = directoryFor(t)
    await again.describe()
    spawnSync('cp', ['-r', `${dataDir}/.`, copy])
    const database = new DatabaseSync(join(copy, 'log.db'))
    const { left } = database
      .prepare('SELECT (SELECT count(*) FROM due) + (SELECT count(*) FROM entries) AS left')
      .get()!
    database.close()
    assert.ok(Number(left) < 100, `${left} rows are left`)
  })
  await again.close()
})

test('entries that are read from the file equal those in memory, in the same order', async (t) => {
  const dataDir = directoryFor(t)
  const fill = async (eventLog: EventLog) => {
    await eventLog.declare(topic, { partitions: 1, groups: [{ name: 'early' }, { name: 'late' }] })
    for (let index = 0; index < 300; index++) {
      const lane = index % 7 === 0 ? 'high' : 'normal'
      await eventLog.append(stream(lane), [batchOf(named(`${index}.`, 501 + (index % 400)))])
    }
  }
  const first = await openEmbedded(dataDir)
  await fill(first)
  const early = await first.consume(topic, 'early', { leaseMs })
  const fromMemory = await takeAll(early)
  await first.close()
  const second = await openEmbedded(dataDir)
  const late = await second.consume(topic, 'late', { leaseMs })
  const fromFile = await takeAll(late)
  for (const lane of ['high', 'normal']) {
    const of = (deliveries: typeof fromFile) => deliveries.filter(({ position }) => position.stream.lane === lane)
    assert.deepEqual(idsOf(of(fromFile)), idsOf(of(fromMemory)))
    assert.deepEqual(
      of(fromFile).map(({ position }) => position),
      of(fromMemory).map(({ position }) => position),
    )
  }
  assert.ok(fromFile.every(({ batch, attempt }) => batch.damaged === undefined && attempt === 1))
  await second.close()
})

test('one call of readSettled reads a bounded amount, however much is requested', async (t) => {
  const eventLog = await openWithTopic(directoryFor(t))
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const batch = { bytes: Buffer.alloc(200_000, 1), count: 600, receivedAtMicros: 1 }
  for (let index = 0; index < 30; index++) await eventLog.append(stream(), [batch])
  await consumer.settle((await takeAll(consumer)).map(landed))
  const options = { fromOffset: 0, maxBytes: Number.MAX_SAFE_INTEGER }
  const { entries, nextOffset } = await eventLog.readSettled(stream(), group, options)
  assert.ok(entries.length >= 1 && entries.length <= 10, `${entries.length} entries of 200 kB in one call`)
  assert.equal(nextOffset, entries.length * 600)
  assert.equal((await readAllSettled(eventLog)).length, 30)
  await eventLog.close()
})

test('entries larger than the cache of recent entries are handed out whole, at once and later', async (t) => {
  const options = { dataDir: directoryFor(t), diskReserveBytes: 0, now: Date.now, maxRecentBytes: 10_000 }
  const eventLog = await openEmbeddedLog(options)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }, { name: 'late' }] })
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const expected: string[] = []
  for (let round = 0; round < 5; round++) {
    const waiting = consumer.next({ maxEvents: perLane(5000), maxWaitMs: 5000 })
    const batches = ['a', 'b', 'c'].map((name) => batchOf(named(`${round}${name}`, 600)))
    await Promise.all(batches.map((batch) => eventLog.append(stream(), [batch])))
    const deliveries = [...(await waiting), ...(await takeAll(consumer))]
    expected.push(...['a', 'b', 'c'].flatMap((name) => named(`${round}${name}`, 600)))
    assert.equal(idsOf(deliveries).length, 1800)
    await consumer.settle(deliveries.map(landed))
  }
  assert.deepEqual(idsOf(await takeAll(await eventLog.consume(topic, 'late', { leaseMs }))), expected)
  await eventLog.close()
})

test('when every group is far behind, entries are read from the file, each event once and in order', async (t) => {
  const options = { dataDir: directoryFor(t), diskReserveBytes: 0, now: Date.now, maxRecentBytes: 10_000 }
  const eventLog = await openEmbeddedLog(options)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  const expected = Array.from({ length: 60 }, (_, round) => named(`round${round}-`, 50))
  for (const ids of expected) await eventLog.append(stream(), [batchOf(ids)])
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  assert.deepEqual(idsOf(await takeAll(consumer)), expected.flat())
  await eventLog.close()
})

test('trimming frees space: new entries reuse it, and a file that is mostly empty shrinks', async (t) => {
  const dataDir = directoryFor(t)
  const eventLog = await openWithTopic(dataDir)
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const everything = { keepSinceMs: Number.MAX_SAFE_INTEGER / 1e6, maxBytes: 0 }
  const bytes = Buffer.alloc(250_000, 1)
  const fill = async () => {
    for (let index = 0; index < 12; index++) {
      await Promise.all(
        Array.from({ length: 20 }, () => eventLog.append(stream(), [{ bytes, count: 1000, receivedAtMicros: 1 }])),
      )
    }
    await consumer.settle((await takeAll(consumer)).map(landed))
    return eventLog.trim(topic, everything)
  }
  assert.equal((await fill()).bytes, 240 * bytes.length)
  await eventLog.close()
  const full = statSync(join(dataDir, 'log.db')).size
  assert.ok(full > 240 * bytes.length * 0.5)
  const again = await openWithTopic(dataDir)
  const next = await again.consume(topic, group, { leaseMs })
  for (let round = 0; round < 40; round++) {
    await again.append(stream(), [batchOf(['small'])])
    await next.settle((await takeAll(next)).map(landed))
    await again.trim(topic, everything)
  }
  await again.close()
  assert.ok(statSync(join(dataDir, 'log.db')).size < full * 0.7, `${statSync(join(dataDir, 'log.db')).size} of ${full}`)
})
