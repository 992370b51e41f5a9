// Uses the real embedded log and database, without landing: redriven events stay in the log.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { EventIdGenerator } from '../event/event.ts'
import { decodeBatch, type EventParts, EventReader, encodeBatch } from '../event/record-batch.ts'
import type { Consumer, Delivery, EventLog } from '../event-log/event-log.ts'
import { openEventLog } from '../event-log/open-event-log.ts'
import { Slots } from '../lib/slots.ts'
import type { ReplayRequest } from '../pipeline/administration.ts'
import type { DeadLetter } from '../store/dead-letter.ts'
import type { EventStore } from '../store/event-store.ts'
import { openStore } from '../store/open-store.ts'
import { DeliveryTimes } from '../workers/delivery-times.ts'
import { Administrator } from './administrator.ts'

const ids = new EventIdGenerator()
const someMicros = Date.UTC(2026, 0, 1) * 1000
const stream = { topic: 'events', partition: 0, lane: 'normal' } as const

interface Parts {
  readonly administrator: Administrator
  readonly eventLog: EventLog
  readonly store: EventStore
  readonly consumer: Consumer
  /** How far the clock advances each time it is read. */
  readonly clock: { stepMs: number }
}

async function makeParts(t: TestContext): Promise<Parts> {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-admin-'))
  const config = { dataDir, diskReserveBytes: 0 }
  const eventLog = await openEventLog(config, { logger: { info() {}, warn() {} }, now: Date.now })
  const store = await openStore(config)
  t.after(async () => {
    await eventLog.close()
    await store.close()
    rmSync(dataDir, { recursive: true })
  })
  await eventLog.declare('events', { partitions: 2, groups: [{ name: 'landing' }, { name: 'other' }] })
  const consumer = await eventLog.consume('events', 'landing', { leaseMs: 30_000 })
  const clock = { stepMs: 0 }
  let skewMs = 0
  const monotonicNow = () => {
    skewMs += clock.stepMs
    return performance.now() + skewMs
  }
  return {
    administrator: new Administrator({
      ...{ eventLog, store, reads: new Slots(1), now: Date.now, monotonicNow },
      ownGroups: [{ topic: 'events', group: 'landing' }],
      handlerGroups: async () => [],
      deliveryTimes: new DeliveryTimes(Date.now),
    }),
    eventLog,
    store,
    consumer,
    clock,
  }
}

const everything = { high: 10_000, normal: 10_000, low: 10_000 }

/** Settles everything that waits for the group and returns the numbers in the events' data. */
async function settleAll(consumer: Consumer): Promise<number[]> {
  const numbers: number[] = []
  for (;;) {
    const deliveries = await consumer.next({ maxEvents: everything, maxWaitMs: 0 })
    if (deliveries.length === 0) return numbers
    for (const { batch } of deliveries) {
      numbers.push(...decodeBatch(batch.bytes).map(({ data }) => Number(Buffer.from(data).toString())))
    }
    await consumer.settle(deliveries.map((delivery) => ({ delivery, landed: delivery.batch.count, dead: 0 })))
  }
}

async function append(eventLog: EventLog, numbers: readonly number[], place = {}): Promise<void> {
  const bytes = encodeBatch(
    numbers.map((n) => ({ id: ids.next(), type: n % 2 === 0 ? 'even' : 'odd', data: Buffer.from(String(n)) })),
  )
  const batch = { bytes, count: numbers.length, receivedAtMicros: someMicros + numbers[0]! }
  await eventLog.append({ ...stream, ...place }, [batch])
}

async function replayAll({ administrator }: Parts, request: Partial<ReplayRequest> = {}) {
  let replayed = 0
  let calls = 0
  let cursor: string | undefined
  do {
    const answer = await administrator.replay({
      topic: 'events',
      group: 'landing',
      rate: 100_000,
      isDryRun: false,
      ...request,
      cursor,
    })
    replayed += answer.replayed
    calls++
    cursor = answer.nextCursor ?? undefined
  } while (cursor !== undefined)
  return { replayed, calls }
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index)

test('a replay delivers each settled event once, also over many calls, and to no other group', async (t) => {
  const parts = await makeParts(t)
  const { eventLog, consumer, clock } = parts
  for (let at = 0; at < 100; at += 10) await append(eventLog, range(at, at + 10))
  await append(eventLog, range(100, 110), { partition: 1, lane: 'high' })
  await settleAll(consumer)
  await append(eventLog, range(200, 210))

  // A call reaches its time limit after a few reads of the clock.
  clock.stepMs = 3000
  const { replayed, calls } = await replayAll(parts, { rate: 7 })
  clock.stepMs = 0

  assert.equal(replayed, 110)
  assert.ok(calls > 5, `${calls} calls`)
  const delivered = (await settleAll(consumer)).sort((a, b) => a - b)
  assert.deepEqual(delivered, [...range(0, 110), ...range(200, 210)])
  const other = await eventLog.consume('events', 'other', { leaseMs: 30_000 })
  assert.equal((await settleAll(other)).length, 120)
})

test('a replay obeys its filters: type, time, position', async (t) => {
  const parts = await makeParts(t)
  const { eventLog, consumer } = parts
  await append(eventLog, range(0, 10))
  await append(eventLog, range(10, 20))
  await append(eventLog, range(20, 30), { partition: 1 })
  await settleAll(consumer)
  const expectReplay = async (request: Partial<ReplayRequest>, expected: readonly number[]) => {
    assert.equal((await replayAll(parts, { ...request, isDryRun: true })).replayed, expected.length)
    assert.deepEqual(await settleAll(consumer), [])
    await replayAll(parts, request)
    assert.deepEqual(
      (await settleAll(consumer)).sort((a, b) => a - b),
      expected,
    )
  }

  await expectReplay(
    { type: 'odd' },
    range(0, 30).filter((n) => n % 2 === 1),
  )
  await expectReplay({ sinceMicros: someMicros + 10 }, range(10, 30))
  await expectReplay({ from: 'events/0/normal@1:7' }, range(7, 20))
  await expectReplay({ from: 'events/1/normal@1:0', type: 'even' }, [20, 22, 24, 26, 28])
})

/** An encoded event as in a batch, without tag and length. */
function eventBytes(parts: EventParts): Uint8Array {
  const bytes = encodeBatch([parts])
  const reader = new EventReader().reset(bytes)
  reader.next()
  return bytes.subarray(reader.fields.start, reader.fields.end)
}

function letterOf(n: number, position = 'events/1/low@1:9'): DeadLetter {
  const id = ids.next()
  return {
    deadLetterId: ids.next(),
    eventId: id,
    topic: 'events',
    group: 'landing',
    type: 'a',
    source: '/',
    code: 'refused_by_store',
    message: 'no',
    attempts: 1,
    firstFailedAtMicros: someMicros,
    deadAtMicros: someMicros + n,
    event: eventBytes({ id, type: 'a', timeMicros: 5, data: Buffer.from(String(n)) }),
    history: [{ attempt: 1, atMicros: someMicros, code: 'refused_by_store', message: 'no', position }],
    redrivenAtMicros: null,
    redrives: 0,
  }
}

test('a redrive whose outcome stays unknown stops after the first step and reports it', async (t) => {
  const { administrator, store, consumer, clock } = await makeParts(t)
  const letters = range(0, 30).map((n) => letterOf(n))
  const damaged = { ...letterOf(-1), eventId: null, code: 'corrupt', event: Buffer.from([1]) }
  const withoutPartition = letterOf(-2, 'events/7/low@1:9')
  await store.landDeadLetters([...letters, damaged, withoutPartition])
  clock.stepMs = 1000

  const answer = await administrator.redriveDeadLetters({ filter: {}, rate: 1000, isDryRun: false })

  assert.partialDeepStrictEqual(answer, { matched: 32, redriven: 8, skipped: 2, failedAgain: 0, nextCursor: null })
  assert.match(answer.stopped ?? '', /the outcome of 8 of 8 events is not known yet/)
  assert.equal(await store.countDeadLetters({ isRedriven: true }), 8)
  const deliveries = await consumer.next({ maxEvents: everything, maxWaitMs: 0 })
  assert.equal(deliveries.length, 8)
  const [first] = deliveries
  assert.deepEqual([first?.position.stream.lane, first?.position.stream.partition, first?.attempt], ['low', 1, 1])
  const [event] = decodeBatch(first!.batch.bytes)
  assert.deepEqual([event?.timeMicros, event?.attributes.get('millraceredrive')], [5, '1'])
  assert.equal(first?.batch.receivedAtMicros, letters[0]!.deadAtMicros)
})

test('a request is redriven until its deadline, and not afterwards', async (t) => {
  const { administrator, store, eventLog, clock } = await makeParts(t)
  await eventLog.declare('_request.work', { partitions: 1, groups: [{ name: 'landing' }] })
  const requestOf = (deadlineMs: number): DeadLetter => {
    const letter = { ...letterOf(1, '_request.work/0/normal@1:0'), topic: '_request.work' }
    const attributes = [['millracedeadline', String(deadlineMs)]] as const
    return { ...letter, event: eventBytes({ id: letter.eventId!, type: 'work', attributes }) }
  }
  const [late, inTime] = [requestOf(Date.now() - 1), requestOf(Date.now() + 60_000)]
  await store.landDeadLetters([late, inTime])
  clock.stepMs = 3000

  const all = await administrator.redriveDeadLetters({ filter: {}, rate: 1000, isDryRun: false })
  assert.partialDeepStrictEqual(all, { matched: 2, redriven: 1, skipped: 1 })
  const filter = { deadLetterIds: [late.deadLetterId] }
  await assert.rejects(administrator.redriveDeadLetters({ filter, rate: 1, isDryRun: false }), {
    code: 'failed_precondition',
    message: /is a request past its deadline.* send it again with an id of its own/,
  })
})

/** Lands what waits for the group, except one event, which dies again. Returns how many it has taken when it is stopped. */
async function landAllBut(letter: DeadLetter, { store, consumer }: Parts, stop: AbortSignal): Promise<number> {
  let taken = 0
  while (!stop.aborted) {
    const deliveries = await consumer.next({ maxEvents: everything, maxWaitMs: 50, signal: stop })
    const dies = ({ batch }: Delivery) => decodeBatch(batch.bytes)[0]?.id === letter.eventId
    await store.landEvents(deliveries.filter((delivery) => !dies(delivery)))
    const again = { ...letter, deadLetterId: ids.next(), deadAtMicros: Date.now() * 1000 + 1000, message: 'no again' }
    if (deliveries.some(dies)) await store.landDeadLetters([again])
    await consumer.settle(deliveries.map((delivery) => ({ delivery, landed: 1, dead: 0 })))
    taken += deliveries.length
  }
  return taken
}

test('a redrive of many letters sends each once, in growing steps, and stops soon after an event fails again', async (t) => {
  const parts = await makeParts(t)
  const { administrator, store } = parts
  const letters = range(0, 4000).map((n) => letterOf(n))
  await store.landDeadLetters(letters)
  const stop = new AbortController()
  const landing = landAllBut(letters[500]!, parts, stop.signal)
  const redrive = () => administrator.redriveDeadLetters({ filter: {}, rate: 100_000, isDryRun: false })

  // Steps of 10, 100 and 1,000 letters, the third with the event that fails, and one that was sent meanwhile.
  const first = await redrive()
  assert.partialDeepStrictEqual(first, { matched: 4000, redriven: 2110, skipped: 0, failedAgain: 1, nextCursor: null })
  assert.equal(first.stopped, '1 of 1000 events failed again: no again')
  assert.equal(await store.countDeadLetters({ isRedriven: false }), 1891)
  // The letter of the event that failed again is the newest.
  const second = await redrive()
  assert.partialDeepStrictEqual(second, { matched: 1891, redriven: 1891, failedAgain: 1 })
  stop.abort()
  assert.equal(await landing, 4001)
})

test('edited data must pass the checks for published events, and one redrive edits one event', async (t) => {
  const { administrator, store } = await makeParts(t)
  const [letter, other] = [letterOf(1), letterOf(2)]
  await store.landDeadLetters([letter, other])
  const redrive = (data: string, ...deadLetterIds: string[]) =>
    administrator.redriveDeadLetters({
      filter: { deadLetterIds },
      rate: 1,
      isDryRun: false,
      edit: { data: Buffer.from(data) },
    })

  await assert.rejects(redrive('{', letter.deadLetterId), {
    code: 'invalid_event',
    field: 'data',
    message: /not valid JSON/,
  })
  await assert.rejects(redrive('1', letter.deadLetterId, other.deadLetterId), { code: 'invalid_event', field: 'data' })
  assert.equal(await store.countDeadLetters({ isRedriven: true }), 0)
})

test('an event with the maximum number of attributes can be edited', async (t) => {
  const { administrator, store, consumer, clock } = await makeParts(t)
  const attributes = Array.from({ length: 64 }, (_, n) => [`a${n}`, ''] as const)
  const letter = letterOf(1)
  const event = eventBytes({ id: letter.eventId!, type: 'a', attributes })
  await store.landDeadLetters([{ ...letter, event }])
  clock.stepMs = 3000
  const edit = { data: Buffer.from('[1]') }
  const filter = { deadLetterIds: [letter.deadLetterId] }

  const { redriven } = await administrator.redriveDeadLetters({ filter, rate: 1, isDryRun: false, edit })

  assert.equal(redriven, 1)
  const [delivery] = await consumer.next({ maxEvents: everything, maxWaitMs: 0 })
  const [sent] = decodeBatch(delivery!.batch.bytes)
  assert.deepEqual([Buffer.from(sent!.data).toString(), sent!.attributes.size], ['[1]', 65])
})

test('an entry whose receive time is in the future does not end a replay early', async (t) => {
  const parts = await makeParts(t)
  const { eventLog, consumer } = parts
  await append(eventLog, range(0, 10))
  const bytes = encodeBatch([{ id: ids.next(), type: 'ahead', data: Buffer.from('10') }])
  await eventLog.append(stream, [{ bytes, count: 1, receivedAtMicros: (Date.now() + 3_600_000) * 1000 }])
  await append(eventLog, range(20, 30))
  await settleAll(consumer)

  assert.equal((await replayAll(parts)).replayed, 20)
  await assert.rejects(replayAll(parts, { from: 'events/0/normal@9:0' }), {
    code: 'failed_precondition',
    field: 'from',
  })
})

test('empty and impossible filter values are refused, naming the field', async (t) => {
  const { administrator, store } = await makeParts(t)
  await store.landDeadLetters([letterOf(1)])
  for (const [filter, field] of [
    [{ topic: '' }, 'topic'],
    [{ type: '' }, 'type'],
    [{ code: 'a\0b' }, 'code'],
    [{ deadLetterIds: [] }, 'dead_letter_ids'],
    [{ deadLetterIds: ['x'] }, 'dead_letter_id'],
    [{ sinceMicros: Number.NaN }, 'since'],
  ] as const) {
    const refused = { code: 'invalid_event', field }
    await assert.rejects(administrator.listDeadLetters({ ...filter, limit: 1 }), refused)
    await assert.rejects(administrator.groupDeadLetters(filter), refused)
    await assert.rejects(administrator.deleteDeadLetters(filter, false), refused)
    await assert.rejects(administrator.redriveDeadLetters({ filter, rate: 1, isDryRun: true }), refused)
  }
  const anyTime = { sinceMicros: Number.NEGATIVE_INFINITY, untilMicros: 2.5e17 }
  assert.equal((await administrator.listDeadLetters({ ...anyTime, limit: 9 })).deadLetters.length, 1)
  await assert.rejects(administrator.deleteDeadLetters({ deadLetterIds: [ids.next()] }, false), { code: 'not_found' })
  await assert.rejects(administrator.journey({ id: '' }), { code: 'invalid_event', field: 'id' })
})

test('one call deletes many dead letters, but none newer than the call', async (t) => {
  const { administrator, store } = await makeParts(t)
  const old = range(0, 2500).map((n) => letterOf(n))
  await store.landDeadLetters([...old, { ...letterOf(1), deadAtMicros: (Date.now() + 60_000) * 1000 }])

  const answer = await administrator.deleteDeadLetters({ topic: 'events' }, false)

  assert.deepEqual(answer, { matched: 2500, deleted: 2500 })
  assert.equal(await store.countDeadLetters({}), 1)
})

test('dead letters are not deleted without a condition', async (t) => {
  const { administrator, store } = await makeParts(t)
  await store.landDeadLetters([letterOf(1)])
  await assert.rejects(administrator.deleteDeadLetters({}, false), { code: 'invalid_event', field: 'filter' })
  await assert.rejects(administrator.deleteDeadLetters({ topic: undefined }, false), { code: 'invalid_event' })
  assert.equal(await store.countDeadLetters({}), 1)
})

test('a group can be paused, resumed and deleted; a group that the server declares cannot be deleted', async (t) => {
  const { administrator, eventLog, consumer } = await makeParts(t)
  await append(eventLog, range(0, 10))
  await administrator.pauseGroup({ topic: 'events', group: 'landing' }, 'maintenance')
  assert.deepEqual(await settleAll(consumer), [])
  await administrator.resumeGroup({ topic: 'events', group: 'landing' })
  assert.equal((await settleAll(consumer)).length, 10)
  assert.deepEqual(await administrator.deleteGroup({ topic: 'events', group: 'other' }), { abandoned: 10 })
  await assert.rejects(administrator.deleteGroup({ topic: 'events', group: 'landing' }), {
    code: 'failed_precondition',
    field: 'group',
  })
})
