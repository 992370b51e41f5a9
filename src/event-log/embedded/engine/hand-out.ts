// Hands out entries to waiting consumers within one transaction: in each lane first what is due in the group's own
// stream, then what the topic's stream has, oldest first.
//
// Each partition that has work first gets an equal share of the call's events and bytes, then what is left is filled. The
// leases begin when the transaction is durable.

import { lanes } from '../../../event/event.ts'
import { maxFlowStepMs, maxHeldEvents } from '../../event-log.ts'
import { flowOf } from '../file/books.ts'
import type { EntryContent } from '../file/entry-table.ts'
import { partitionOf } from '../file/stream-number.ts'
import { DueEntries, type DueEntry } from './due-entries.ts'
import { FreeEntries } from './free-entries.ts'
import { checkCursor, checkDue, type KeptCheck } from './kept-check.ts'
import { LaneWork, PartitionWork, Selection } from './selection.ts'
import type { GroupSession, Lease, Place, Session, Waiter } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

const minEntriesPerRead = 4
const maxEntriesPerRead = 256

/** An entry for a waiter. */
export interface HandedOut {
  readonly lease: Lease
  readonly receivedAtMicros: number
  /** Null when the proxy has the bytes. */
  readonly content: EntryContent | null
  readonly isSuspect: boolean
  /** Whether the consumer of an ordered group held nothing of the stream before. */
  readonly isFirstLease: boolean
}

export class HandOut {
  readonly #work: UnitOfWork
  readonly #session: Session
  readonly #nowMs: number
  readonly #free = new Map<Place, { readonly walk: FreeEntries; readonly group: GroupSession }>()
  readonly #due = new Map<Place, { readonly walk: DueEntries; readonly group: GroupSession }>()
  readonly #nextDueAtMs = new Map<DueEntries, number | undefined>()
  /** Who gets something of a stream in this transaction, by the group's own stream. */
  readonly #newHolders = new Map<number, number>()
  readonly #filled = new Map<Waiter, readonly HandedOut[]>()
  /** Until when the groups with a rate wait that get something. */
  readonly #limitedUntil = new Map<GroupSession, number>()
  /** Checks that must be made before more can be handed out. */
  readonly checks: KeptCheck[] = []

  /** @param nowMs milliseconds since 1970, on the clock of the log's caller. */
  constructor(work: UnitOfWork, session: Session, nowMs: number) {
    this.#work = work
    this.#session = session
    this.#nowMs = nowMs
  }

  /** What each waiter gets. */
  get filled(): ReadonlyMap<Waiter, readonly HandedOut[]> {
    return this.#filled
  }

  fill(waiter: Waiter): void {
    const { group, call } = waiter
    const row = this.#work.group(group.groupNumber)
    if (row === undefined) return
    const flow = flowOf(row)
    group.isPaused = row.state === 'paused'
    group.msPerEvent = flow !== null && 'ratePerSecond' in flow ? 1000 / flow.ratePerSecond : 0
    if (group.isPaused || (group.msPerEvent > 0 && this.#isLimited(group))) return
    const parts = this.#partsWithWork(waiter)
    if (parts.length === 0) return
    const selection = new Selection(call, parts)
    const entries: HandedOut[] = []
    let takenMs = 0
    for (const { part, lane } of selection.picks()) {
      const { due, free } = part.lanes[lane]!
      const dueEntry = due?.peek()
      const { stream } = due ?? free!.stream
      const isFirstLease = group.isOrdered && this.#holderOf(group, stream) === undefined
      this.#newHolders.set(group.ownOf(stream), call.consumer)
      const taken = dueEntry === undefined ? this.#takeFree(waiter, free!) : this.#takeDue(waiter, due!, dueEntry)
      entries.push({ ...taken, isFirstLease })
      takenMs += taken.lease.count * group.msPerEvent
      if (takenMs >= maxFlowStepMs) break
    }
    if (entries.length > 0) this.#filled.set(waiter, entries)
    // Being late by a step costs nothing of the rate: timers are.
    const from = Math.max(group.limitedUntil, performance.now() - maxFlowStepMs)
    if (takenMs > 0) this.#limitedUntil.set(group, from + takenMs)
    group.firstPartition = parts[0]!.partition + 1
  }

  /** To be called after all `fill` calls, in the transaction: finds out when the next entries are due. */
  lookAhead(): void {
    for (const { walk } of this.#due.values()) this.#nextDueAtMs.set(walk, walk.nextDueAtMs())
  }

  /** To be called when the transaction is durable: the leases begin. */
  committed(): void {
    for (const [place, { walk, group }] of this.#free) {
      place.freeFrom = walk.at
      if (walk.isAtEnd) group.hot.delete(walk.stream.stream)
    }
    for (const [place, { walk, group }] of this.#due) {
      place.dueFromMs = walk.at.dueAtMs
      place.freeFrom = walk.at.offset
      const next = this.#nextDueAtMs.get(walk)
      if (next === undefined) group.dueAtMs.delete(walk.stream)
      else group.dueAtMs.set(walk.stream, next)
    }
    for (const [group, until] of this.#limitedUntil) group.limitedUntil = until
    for (const entries of this.#filled.values()) for (const { lease } of entries) this.#session.lease(lease)
  }

  #isLimited(group: GroupSession): boolean {
    return this.#limitedUntil.has(group) || performance.now() < group.limitedUntil
  }

  /** The partitions that have something for a call, the one to serve first at the front. */
  #partsWithWork({ group, call }: Waiter): PartitionWork[] {
    const isWanted = (stream: number) =>
      call.maxEvents[lanes[stream % lanes.length]!] > 0 && this.#mayTake(group, stream, call.consumer)
    const hot = [...group.hot].filter((stream) => isWanted(stream) && !this.#isFull(group, stream))
    const due = [...group.dueAtMs].flatMap(([own, atMs]) => (atMs <= this.#nowMs && isWanted(own) ? [own] : []))
    const mostEvents = Math.max(...lanes.map((lane) => call.maxEvents[lane]))
    const perRead = Math.ceil(mostEvents / Math.max(1, hot.length + due.length))
    const entriesPerRead = Math.min(Math.max(perRead, minEntriesPerRead), maxEntriesPerRead)
    const parts = new Map<number, PartitionWork>()
    const laneOf = (stream: number): LaneWork => {
      const partition = partitionOf(stream)
      let part = parts.get(partition)
      if (part === undefined) {
        part = new PartitionWork(partition)
        parts.set(partition, part)
      }
      const lane = lanes[stream % lanes.length]!
      part.lanes[lane] ??= new LaneWork()
      return part.lanes[lane]
    }
    for (const own of due) laneOf(own).due = this.#dueWalk(group, own, entriesPerRead)
    for (const stream of hot) laneOf(stream).free = this.#freeWalk(group, stream, entriesPerRead)
    const from = (partition: number) => (partition < group.firstPartition ? 1 : 0)
    return [...parts.values()]
      .filter((part) => part.hasWork)
      .sort((a, b) => from(a.partition) - from(b.partition) || a.partition - b.partition)
  }

  /** Whether no other consumer holds something of the stream, where that matters. */
  #mayTake(group: GroupSession, stream: number, consumer: number): boolean {
    return !group.isOrdered || (this.#holderOf(group, stream) ?? consumer) === consumer
  }

  #holderOf(group: GroupSession, stream: number): number | undefined {
    return this.#newHolders.get(group.ownOf(stream)) ?? group.holderOf(stream)
  }

  #isFull(group: GroupSession, stream: number): boolean {
    return group.isOrdered && this.#work.streams.get(group.ownOf(stream))!.dueKept >= maxHeldEvents
  }

  /** Null while its rows are not checked. */
  #freeWalk(group: GroupSession, stream: number, entriesPerRead: number): FreeEntries | null {
    const place = group.place(stream)
    const known = this.#free.get(place)
    if (known !== undefined) return known.walk
    const check = checkCursor(this.#work, group, this.#work.cursors.get(group.groupNumber, stream)!)
    if (check !== null) this.checks.push(check)
    if (check !== null) return null
    const walk = new FreeEntries(this.#work, group, stream, entriesPerRead)
    this.#free.set(place, { walk, group })
    return walk
  }

  #dueWalk(group: GroupSession, own: number, rowsPerRead: number): DueEntries | null {
    const place = group.place(own)
    const known = this.#due.get(place)
    if (known !== undefined) return known.walk
    const check = checkDue(this.#work, group, own)
    if (check !== null) this.checks.push(check)
    if (check !== null) return null
    const walk = new DueEntries(this.#work, group, own, this.#nowMs, rowsPerRead)
    this.#due.set(place, { walk, group })
    return walk
  }

  #takeFree({ call, group }: Waiter, free: FreeEntries): Omit<HandedOut, 'isFirstLease'> {
    const { cursor, stream } = free
    const place = free.peek()!
    free.take()
    const { firstOffset, count, appendNumber, receivedAtMicros } = place
    const { attempts, hasRow } = free.attemptsOf(firstOffset)
    this.#work.cursors.change(cursor).handedOutBelow = Math.max(cursor.handedOutBelow, firstOffset + count)
    this.#work.setAttempts(cursor, firstOffset, attempts + 1, hasRow)
    const content = appendNumber < call.cachedFrom ? this.#work.entries.read(stream.stream, place) : null
    const lease = {
      ...{ id: this.#session.nextLease(), consumer: call.consumer, group, partition: stream.partition },
      ...{ ...place, stream: stream.stream, attempt: attempts + 1, originOffset: firstOffset, dueAtMs: null },
      eventKey: '',
    }
    return { lease, receivedAtMicros, content, isSuspect: attempts > 0 }
  }

  #takeDue({ call, group }: Waiter, due: DueEntries, { row, place }: DueEntry): Omit<HandedOut, 'isFirstLease'> {
    const attempt = due.take()
    const read = this.#work.entries.read(due.stream, place)
    const content = { ...read, damaged: read.damaged || place.count !== row.eventCount }
    const lease = {
      ...{ id: this.#session.nextLease(), consumer: call.consumer, group, partition: partitionOf(due.stream) },
      ...{ ...place, count: row.eventCount, stream: due.stream, attempt, dueAtMs: row.dueAtMs },
      ...{ originOffset: content.originOffset, eventKey: row.eventKey },
    }
    return {
      ...{ lease, receivedAtMicros: place.receivedAtMicros, content },
      isSuspect: attempt - content.endedAttempts > 1,
    }
  }
}
