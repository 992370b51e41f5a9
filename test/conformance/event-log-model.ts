// A log compared with a simple model of it, through random calls: appends with resends and limits, hand-outs,
// settlements, redeliveries by key, reopens, reading of settled entries, pauses, consumers that close, crashes, time that
// passes, trimming. One of the groups is ordered.
//
// After each step: the ledger adds up and equals the model's, the audit agrees, no event is leased twice, new events
// are in the order of their stream, reopened events have their old offset, keys and streams of the ordered group are handed
// out as the contract says, and nothing is missing.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MillraceError } from '../../src/errors.ts'
import { type Lane, lanes } from '../../src/event/event.ts'
import {
  type Again,
  type Backlog,
  type Consumer,
  type Delivery,
  never,
  type StreamName,
} from '../../src/event-log/event-log.ts'
import { samples } from '../support/depth.ts'
import { Bench, type EventLogHarness } from './event-log-bench.ts'
import { batchOf, idsIn, idsOf, leaseMs, ledgerOf, readAllSettled, topic } from './event-log-verbs.ts'

const groups = ['first', 'second'] as const
const partitions = 2

/** An event as one group sees it. */
interface EventInGroup {
  readonly id: string
  readonly stream: StreamName
  /** How many times it was handed out and not returned. */
  attempts: number
  /** Null while it was never put into the group's own stream. */
  dueAtMs: number | null
  /** The offset under which it was reopened; null when it never was. */
  reopenedAt: number | null
  /** With which it is to be redelivered. */
  key: string | null
  holder: number | null
}

const orderedGroup = 'second'

interface GroupModel {
  isPaused: boolean
  readonly waiting: Map<string, EventInGroup>
  /** What has landed or is dead, and can be reopened. */
  readonly settled: Map<string, EventInGroup>
  /** What the group has settled in the topic's streams, including events that are to be redelivered. */
  readonly passed: Set<string>
  reopened: number
  landed: number
  dead: number
}

/** The expected state of the log. */
class Model {
  accepted = 0
  readonly groups: Record<string, GroupModel> = {}
  /** In the order of their streams, each with its offset. */
  readonly stored = new Map<string, { readonly stream: StreamName; readonly offset: number }>()
  isTrimmed = false
  /** The producer's highest epoch in each stream, and its sequences that are in the log. */
  readonly producers = new Map<string, { readonly epoch: number; readonly sequences: Set<number> }>()

  constructor() {
    for (const name of groups) {
      const [waiting, settled, passed] = [new Map(), new Map(), new Set<string>()]
      this.groups[name] = { isPaused: false, waiting, settled, passed, reopened: 0, landed: 0, dead: 0 }
    }
  }

  append(stream: StreamName, ids: readonly string[], firstOffset: number): void {
    this.accepted += ids.length
    for (const [index, id] of ids.entries()) {
      this.stored.set(id, { stream, offset: firstOffset + index })
      for (const name of groups) {
        const event = { id, stream, attempts: 0, dueAtMs: null, reopenedAt: null, key: null, holder: null }
        this.groups[name]!.waiting.set(id, event)
      }
    }
  }

  /** Ids of a stream, in its order. */
  idsOf({ partition, lane }: StreamName): string[] {
    return [...this.stored].flatMap(([id, { stream }]) =>
      stream.partition === partition && stream.lane === lane ? [id] : [],
    )
  }

  /** The events that wait with a key, in their order. */
  queueOf(name: string, { partition, lane }: StreamName, key: string): EventInGroup[] {
    const offsetOf = ({ id }: EventInGroup) => this.stored.get(id)!.offset
    return [...this.groups[name]!.waiting.values()]
      .filter((event) => event.key === key && event.stream.partition === partition && event.stream.lane === lane)
      .sort((a, b) => offsetOf(a) - offsetOf(b))
  }

  /** Adds a redelivery: only the first one of a key is due. */
  redeliver(name: string, event: EventInGroup, dueAtMs: number, key: string | null): void {
    const first = key === null ? undefined : this.queueOf(name, event.stream, key)[0]
    event.dueAtMs = dueAtMs
    event.key = key
    event.holder = null
    if (first === undefined) return
    if (this.queueOf(name, event.stream, key!)[0] !== event) event.dueAtMs = never
    else if (first.holder === null) first.dueAtMs = never
  }

  /** A delivery is settled: the next one of its key is due. */
  endDelivery(name: string, event: EventInGroup): void {
    const { key } = event
    event.key = null
    if (key === null) return
    const next = this.queueOf(name, event.stream, key)[0]
    if (next?.dueAtMs === never) next.dueAtMs = 0
  }

  waitingIn(name: string, { partition }: StreamName): number {
    let count = 0
    for (const event of this.groups[name]!.waiting.values()) if (event.stream.partition === partition) count++
    return count
  }
}

/** The log, its consumers, and what they hold. */
class Real {
  readonly bench: Bench
  /** By number; a closed consumer leaves its slot empty. */
  readonly consumers = new Map<number, { consumer: Consumer; group: string; held: Delivery[] }>()
  #lastConsumer = 0
  lastId = 0

  constructor(bench: Bench) {
    this.bench = bench
  }

  async join(group: string): Promise<void> {
    const consumer = await this.bench.consume(group)
    this.consumers.set(++this.#lastConsumer, { consumer, group, held: [] })
  }

  pick(index: number) {
    const all = [...this.consumers]
    const [number, found] = all[index % all.length]!
    return { number, ...found }
  }

  /** A consumer that holds something, if there is one. */
  pickHolder(index: number) {
    const holders = [...this.consumers.values()].filter(({ held }) => held.length > 0)
    return holders[index % holders.length] ?? this.pick(index)
  }
}

type Command = fc.AsyncCommand<Model, Real>

/** A command that is always possible and is followed by a check of the ledger. */
function command(name: string, run: (model: Model, real: Real) => Promise<void>): Command {
  return {
    check: () => true,
    toString: () => name,
    async run(model, real) {
      await run(model, real)
      await compareLedgers(model, real)
    },
  }
}

async function compareLedgers(model: Model, { bench }: Real): Promise<void> {
  for (const name of groups) {
    const { waiting, reopened, landed, dead } = model.groups[name]!
    const inFlight = [...waiting.values()].filter(({ holder }) => holder !== null).length
    assert.deepEqual(await ledgerOf(bench.log, name), {
      accepted: model.accepted,
      reopened,
      waiting: waiting.size,
      landed,
      dead,
      lost: 0,
      inFlight,
      auditedWaiting: waiting.size,
    })
    assert.equal(model.accepted + reopened, waiting.size + landed + dead)
  }
}

interface AppendDraw {
  readonly lane: Lane
  readonly partition: number
  readonly sizes: readonly number[]
  readonly limit: number | null
  readonly numbered: { readonly epoch: number; readonly sequence: number } | null
}

function append({ lane, partition, sizes, limit, numbered }: AppendDraw): Command {
  const text = `append ${sizes} to ${partition}/${lane}, limit ${limit}, numbered ${JSON.stringify(numbered)}`
  return command(text, async (model, real) => {
    const stream: StreamName = { topic, partition, lane }
    const batches = sizes.map((size) => Array.from({ length: size }, () => `e${++real.lastId}`))
    const ids = batches.flat()
    const key = `${partition}/${lane}`
    const known = model.producers.get(key)
    const isFenced = numbered !== null && known !== undefined && numbered.epoch < known.epoch
    const isResend = numbered !== null && known?.epoch === numbered.epoch && known.sequences.has(numbered.sequence)
    const most = Math.max(...groups.map((name) => model.waitingIn(name, stream)))
    const isRefused = !isResend && !isFenced && limit !== null && most > 0 && most + ids.length > limit
    const result = await real.bench.log
      .append(
        stream,
        batches.map((batch) => batchOf(batch)),
        {
          ...(limit === null ? {} : { maxWaiting: { maxEvents: limit, maxBytes: Number.MAX_SAFE_INTEGER } }),
          ...(numbered === null ? {} : { producer: { id: 'p', ...numbered } }),
        },
      )
      .catch((error: unknown) => error as MillraceError)
    if (isFenced) {
      assert.ok(result instanceof MillraceError && result.code === 'failed_precondition', String(result))
      assert.equal(result.highestProducerEpoch, known.epoch)
      return
    }
    if (isRefused) {
      assert.ok(result instanceof MillraceError && result.code === 'backlogged', String(result))
      const backlog = result.cause as Backlog
      assert.equal(backlog.waitingEvents, model.waitingIn(backlog.group, stream))
      return
    }
    if (result instanceof MillraceError) throw result
    assert.equal(result.duplicate, isResend)
    if (isResend) return
    if (numbered !== null) {
      const { epoch, sequence } = numbered
      const before = known?.epoch === epoch ? known.sequences : []
      model.producers.set(key, { epoch, sequences: new Set([...before, sequence]) })
    }
    model.append(stream, ids, result.positions[0]!.offset)
  })
}

function next(index: number, maxEvents: Readonly<Record<Lane, number>>): Command {
  return command(`next of ${index}, ${JSON.stringify(maxEvents)}`, async (model, real) => {
    const { number, consumer, group, held } = real.pick(index)
    const nowMs = real.bench.under.now()
    const { waiting, isPaused } = model.groups[group]!
    const deliveries = await consumer.next({ maxEvents, maxWaitMs: 0 })
    if (isPaused) return assert.deepEqual(deliveries, [], 'the group was paused')
    const holdersOf = ({ partition, lane }: StreamName) =>
      [...waiting.values()].flatMap(({ stream, holder }) =>
        holder !== null && stream.partition === partition && stream.lane === lane ? [holder] : [],
      )
    const isTaken = (stream: StreamName) =>
      group === orderedGroup && holdersOf(stream).some((holder) => holder !== number)
    const isFree = ({ holder, dueAtMs, stream }: EventInGroup) =>
      holder === null && (dueAtMs ?? 0) <= nowMs && maxEvents[stream.lane] > 0 && !isTaken(stream)
    if ([...waiting.values()].some(isFree))
      assert.ok(deliveries.length > 0, 'nothing was handed out, although entries were available')
    for (const lane of lanes) checkLane(deliveries, lane, maxEvents[lane], [...waiting.values()])
    for (const delivery of deliveries) {
      assert.ok(!isTaken(delivery.position.stream), 'another consumer has the stream')
      const isFirstLease = group === orderedGroup && holdersOf(delivery.position.stream).length === 0
      assert.equal(delivery.isFirstLease, isFirstLease, 'whether the consumer held nothing of the stream')
      for (const id of idsIn(delivery)) {
        const event = waiting.get(id)
        assert.ok(event, `${id} was handed out, and is not waiting`)
        assert.equal(event.holder, null, `${id} is leased twice`)
        assert.ok(event.dueAtMs === null || event.dueAtMs <= nowMs, `${id} was handed out before it was due`)
        assert.deepEqual(delivery.position.stream, event.stream)
        event.holder = number
        event.attempts++
        assert.equal(delivery.attempt, event.attempts, `the attempt of ${id}`)
        assert.equal(delivery.isKeyed, event.key !== null)
        const offset = event.key === null ? event.reopenedAt : model.stored.get(id)!.offset
        if (offset !== null) assert.equal(delivery.position.offset, offset, `the offset of ${id}`)
      }
    }
    held.push(...deliveries)
  })
}

/** Events handed out of a lane must be available ones, in the order of their streams, and no more than requested. */
function checkLane(all: readonly Delivery[], lane: Lane, max: number, waiting: readonly EventInGroup[]) {
  const deliveries = all.filter(({ position }) => position.stream.lane === lane)
  const free = waiting.filter((event) => event.stream.lane === lane && event.holder === null)
  const ids = idsOf(deliveries)
  assert.equal(new Set(ids).size, ids.length)
  if (max === 0) assert.deepEqual(ids, [])
  const first = deliveries[0]?.batch.count ?? 0
  assert.ok(ids.length <= Math.max(max, first), `${lane}: ${ids.length} events, ${max} were requested`)
  for (let partition = 0; partition < partitions; partition++) {
    const fresh = free.filter((event) => event.dueAtMs === null && event.stream.partition === partition)
    const order = fresh.map(({ id }) => id)
    const handed = ids.filter((id) => order.includes(id))
    assert.deepEqual(handed, order.slice(0, handed.length), `${lane} of ${partition}: oldest first`)
  }
}

type Fate = 'landed' | 'dead' | 'again now' | 'again later' | 'keyed now' | 'keyed later'

function settle(index: number, howMany: number, fates: readonly Fate[]): Command {
  return command(`settle ${howMany} of holder ${index}: ${fates}`, async (model, real) => {
    const { consumer, group, held } = real.pickHolder(index)
    const nowMs = real.bench.under.now()
    const settled = held.splice(0, howMany)
    const { waiting, settled: done, passed } = model.groups[group]!
    const outcomes = settled.map((delivery) => {
      const again: Again[] = []
      let landed = 0
      let dead = 0
      idsIn(delivery).forEach((id, place) => {
        const fate = fates[place % fates.length]!
        const event = waiting.get(id)!
        passed.add(id)
        model.endDelivery(group, event)
        if (fate === 'landed') landed++
        else if (fate === 'dead') dead++
        else {
          const dueAtMs = fate.endsWith('now') ? nowMs - 1 : nowMs + leaseMs
          const { offset } = model.stored.get(id)!
          const keyed = fate.startsWith('keyed') ? { key: `k${offset % 5}`, offset } : {}
          again.push({ batch: batchOf([id]), attempt: delivery.attempt, dueAtMs, ...keyed })
          model.redeliver(group, event, dueAtMs, keyed.key ?? null)
          return
        }
        waiting.delete(id)
        done.set(id, event)
      })
      model.groups[group]!.landed += landed
      model.groups[group]!.dead += dead
      return { delivery, landed, dead, again }
    })
    assert.deepEqual(await consumer.settle(outcomes), [])
    assert.deepEqual(await consumer.settle(outcomes), settled, 'settled twice')
  })
}

/** Reopens some of what a group has settled, of one stream: each event is a batch of its own. */
function reopen(name: (typeof groups)[number], pick: number, howMany: number, attempt: number): Command {
  return command(`reopen ${howMany} from the ${pick}th for ${name}`, async (model, real) => {
    const { waiting, settled } = model.groups[name]!
    const all = [...settled.values()]
    const first = all[pick % all.length]
    if (first === undefined) return
    const { partition, lane } = first.stream
    const stream: StreamName = { topic, partition, lane }
    const isThere = (event: EventInGroup) => event.stream.partition === partition && event.stream.lane === lane
    const chosen = all.filter(isThere).slice(0, howMany)
    const batches = chosen.map(({ id }) => ({ batch: batchOf([id]), attempt, offset: model.stored.get(id)!.offset }))
    await real.bench.log.reopen(stream, name, batches)
    for (const [index, { id }] of chosen.entries()) {
      settled.delete(id)
      const { offset } = batches[index]!
      waiting.set(id, { id, stream, attempts: attempt, dueAtMs: 0, reopenedAt: offset, key: null, holder: null })
    }
    model.groups[name]!.reopened += chosen.length
  })
}

/** All settled events of a group in a stream can be read in order, except those trimmed from its front. */
function readBack(name: (typeof groups)[number], pick: number, maxBytes: number): Command {
  return command(`read back the stream of the ${pick}th for ${name}, by ${maxBytes}`, async (model, real) => {
    const stream = [...model.stored.values()][pick % model.stored.size]?.stream
    if (stream === undefined) return
    const entries = await readAllSettled(real.bench.log, { name, of: stream, maxBytes })
    const read = idsOf(entries)
    const settled = model.idsOf(stream).filter((id) => model.groups[name]!.passed.has(id))
    const trimmed = settled.slice(0, settled.length - read.length)
    assert.deepEqual(read, settled.slice(trimmed.length))
    for (const id of trimmed) {
      assert.ok(model.isTrimmed, `${id} is settled and was not read`)
      for (const other of groups) assert.ok(model.groups[other]!.passed.has(id), `${id} was trimmed too early`)
    }
    for (const { position, batch } of entries) {
      assert.deepEqual(position.stream, stream)
      assert.equal(model.stored.get(idsIn({ batch })[0]!)!.offset, position.offset)
    }
  })
}

function leave(index: number): Command {
  return command(`close ${index}`, async (model, real) => {
    const { number, consumer, group, held } = real.pick(index)
    await consumer.close()
    for (const event of model.groups[group]!.waiting.values()) {
      if (event.holder !== number) continue
      event.holder = null
      event.attempts--
    }
    assert.deepEqual(
      await consumer.settle(held.map((delivery) => ({ delivery, landed: delivery.batch.count, dead: 0 }))),
      held,
    )
    real.consumers.delete(number)
    await real.join(group)
  })
}

/** All holders end: kill -9 uses up the attempt, close does not. */
function open(how: 'crash' | 'restart'): Command {
  return command(how, async (model, real) => {
    await real.bench[how]()
    for (const name of groups) {
      for (const event of model.groups[name]!.waiting.values()) {
        if (event.holder !== null && how === 'restart') event.attempts--
        event.holder = null
      }
    }
    const joined = [...real.consumers.values()].map(({ group }) => group)
    real.consumers.clear()
    for (const group of joined) await real.join(group)
  })
}

function passTime(ms: number): Command {
  return command(`${ms} ms pass`, async (_, real) => real.bench.under.passTime(ms))
}

function pause(name: (typeof groups)[number], isPaused: boolean): Command {
  return command(`${isPaused ? 'pause' : 'resume'} ${name}`, async (model, real) => {
    await real.bench.log.setFlow(topic, name, isPaused ? { paused: 'for a test' } : null)
    model.groups[name]!.isPaused = isPaused
  })
}

function trim(maxBytes: number): Command {
  return command(`trim to ${maxBytes}`, async (model, real) => {
    model.isTrimmed = true
    await real.bench.log.trim(topic, { keepSinceMs: Number.MAX_SAFE_INTEGER / 1e6, maxBytes })
  })
}

const groupDraw = fc.constantFrom(...groups)
const eachMax = fc.constantFrom(0, 1, 3, 1000)
const consumerIndex = fc.nat(5)
const appendDraw = fc
  .record<AppendDraw>({
    lane: fc.constantFrom(...lanes),
    partition: fc.nat(partitions - 1),
    sizes: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
    limit: fc.option(fc.integer({ min: 1, max: 30 }), { freq: 3 }),
    numbered: fc.option(
      fc.record({ epoch: fc.integer({ min: 1, max: 3 }), sequence: fc.integer({ min: 1, max: 6 }) }),
      {
        freq: 2,
      },
    ),
  })
  .map(append)
const nextDraw = fc
  .tuple(consumerIndex, fc.record({ high: eachMax, normal: eachMax, low: eachMax }))
  .map(([index, max]) => next(index, max))
const settleDraw = fc
  .tuple(
    consumerIndex,
    fc.integer({ min: 1, max: 4 }),
    fc.array(fc.constantFrom<Fate>('landed', 'dead', 'again now', 'again later', 'keyed now', 'keyed later'), {
      minLength: 1,
      maxLength: 4,
    }),
  )
  .map(([index, howMany, fates]) => settle(index, howMany, fates))
const reopenDraw = fc
  .tuple(groupDraw, fc.nat(), fc.integer({ min: 1, max: 5 }), fc.nat(9))
  .map(([name, pick, howMany, attempt]) => reopen(name, pick, howMany, attempt))
const readBackDraw = fc
  .tuple(groupDraw, fc.nat(), fc.constantFrom(1, 300, 1e6))
  .map(([name, pick, maxBytes]) => readBack(name, pick, maxBytes))
const commands = [
  // Commands that add events are drawn more often, or the others find nothing to do.
  ...[appendDraw, appendDraw, appendDraw],
  ...[nextDraw, nextDraw, nextDraw],
  ...[settleDraw, settleDraw, settleDraw],
  ...[reopenDraw, reopenDraw],
  ...[readBackDraw, readBackDraw],
  consumerIndex.map(leave),
  // Resuming is drawn more often, or little happens.
  fc.tuple(groupDraw, fc.constantFrom(true, false, false)).map(([name, isPaused]) => pause(name, isPaused)),
  fc.constantFrom<'crash' | 'restart'>('crash', 'restart').map(open),
  fc.constantFrom(1, leaseMs / 2, leaseMs).map(passTime),
  fc.constantFrom(0, 500).map(trim),
]

const declared = groups.map((name) => ({ name, ordered: name === orderedGroup }))

export function eventLogModelTest(harness: EventLogHarness): void {
  test(`whatever is called, nothing is lost, repeated or out of order, and the ledger adds up (${harness.driver})`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.commands(commands, { maxCommands: 60, size: 'max' }), async (drawn) => {
        const under = await harness.create()
        const bench = new Bench(under, await under.open())
        try {
          await bench.log.declare(topic, { partitions, groups: declared })
          const real = new Real(bench)
          for (const name of groups) for (let member = 0; member < 2; member++) await real.join(name)
          const model = new Model()
          await fc.asyncModelRun(() => ({ model, real }), drawn)
          await drain(model, real)
        } finally {
          await bench.log.close()
          await under.destroy()
        }
      }),
      { numRuns: samples(3, 40) },
    )
  })
}

/** At the end everything that waits is delivered, and when it is settled nothing waits. */
async function drain(model: Model, real: Real): Promise<void> {
  await open('crash').run(model, real)
  for (const name of groups) await pause(name, false).run(model, real)
  const everything = { high: 1000, normal: 1000, low: 1000 }
  for (let round = 0; model.groups.first!.waiting.size + model.groups.second!.waiting.size > 0; round++) {
    assert.ok(round < 500, 'an event is never delivered')
    for (let index = 0; index < real.consumers.size; index++) {
      await next(index, everything).run(model, real)
      await settle(index, 1000, ['landed']).run(model, real)
    }
  }
}
