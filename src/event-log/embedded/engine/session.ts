// What lives only as long as the thread: who holds which entry, who waits, and hints where to look for work. It changes
// when a transaction has been committed; only hints that cause a look too many may change before.

import type { MillraceError } from '../../../errors.ts'
import { lanes } from '../../../event/event.ts'
import { Transferred } from '../../../lib/sqlite/database-thread.ts'
import type { StreamName } from '../../event-log.ts'
import type { GroupRow } from '../file/books.ts'
import { streamNumber, streamsPerOwner } from '../file/stream-number.ts'
import type { Answer, Deliveries, GroupName, NextCall, PerLane } from '../protocol.ts'
import { groupNotFound } from './find.ts'
import { toRefusal } from './operation.ts'
import { TailWaiters } from './tail-waiters.ts'

/** An entry that a consumer holds. */
export interface Lease {
  readonly id: number
  readonly consumer: number
  readonly group: GroupSession
  readonly partition: number
  readonly stream: number
  readonly appendNumber: number
  readonly firstOffset: number
  readonly count: number
  readonly byteLength: number
  readonly attempt: number
  /** '' for an entry that was returned without a key, or is of the topic's stream. */
  readonly eventKey: string
  /** The offset of its events in the topic's stream. */
  readonly originOffset: number
  /** When it was due, for an entry of the group's own stream; else null. */
  readonly dueAtMs: number | null
}

/** A group's work in one stream. */
export class Place {
  /** No entry below is free, in a stream of the topic; before it in the order of `due`, in one of the group's own. */
  freeFrom = 0
  dueFromMs = 0
  /** The held entries by their first offset. */
  readonly leases = new Map<number, Lease>()
  /** Whether the rows that were not checked when the log was opened have been checked. */
  isChecked = false

  /** Looks again from here on. */
  lookFrom(dueAtMs: number, offset: number): void {
    if (dueAtMs > this.dueFromMs || (dueAtMs === this.dueFromMs && offset >= this.freeFrom)) return
    this.dueFromMs = dueAtMs
    this.freeFrom = offset
  }
}

export class GroupSession {
  readonly groupNumber: number
  readonly topicNumber: number
  readonly topic: string
  readonly name: string
  readonly isOrdered: boolean
  readonly #places = new Map<number, Place>()
  /** The topic's streams that may have free entries. */
  readonly hot = new Set<number>()
  /** When the next entry of each of the group's own streams may be due; those without one are not in it. */
  readonly dueAtMs = new Map<number, number>()
  readonly waiters: Waiter[] = []
  /** Events settled since the log was opened. */
  settledEvents = 0
  inFlightEvents = 0
  /** The partition to serve first. It changes with each call, so that no partition is always last. */
  firstPartition = 0
  isPaused = false
  /** How long each event that is handed out keeps the next ones waiting; 0 in a group without a rate. */
  msPerEvent = 0
  /** Until when nothing is handed out because of the rate, on the clock of `performance.now`. */
  limitedUntil = 0
  isDropped = false

  constructor(row: GroupRow, topic: string, partitions: number) {
    this.groupNumber = row.groupNumber
    this.topicNumber = row.topicNumber
    this.topic = topic
    this.name = row.name
    this.isOrdered = row.ordered === 1
    for (let partition = 0; partition < partitions; partition++) this.addPartition(partition)
  }

  addPartition(partition: number): void {
    for (const lane of lanes) {
      this.hot.add(streamNumber(this.topicNumber, partition, lane))
      this.dueAtMs.set(streamNumber(this.groupNumber, partition, lane), 0)
    }
  }

  place(stream: number): Place {
    let place = this.#places.get(stream)
    if (place === undefined) {
      place = new Place()
      this.#places.set(stream, place)
    }
    return place
  }

  /** Which of the group's own streams belongs to a stream of the topic; that stream itself when it is one of them. */
  ownOf(stream: number): number {
    return this.groupNumber * streamsPerOwner + (stream % streamsPerOwner)
  }

  /** The consumer that holds something of a stream, in the topic's or in the group's own. */
  holderOf(stream: number): number | undefined {
    for (const owner of [this.topicNumber, this.groupNumber]) {
      const place = this.#places.get(owner * streamsPerOwner + (stream % streamsPerOwner))
      const [lease] = place?.leases.values() ?? []
      if (lease !== undefined) return lease.consumer
    }
    return undefined
  }

  /** When the next entry behind `nowMs` may be due in lanes of which a call takes events. */
  nextDueAtMs(maxEvents: PerLane<number>, nowMs: number): number | undefined {
    let next: number | undefined
    for (const [own, atMs] of this.dueAtMs) {
      if (maxEvents[lanes[own % lanes.length]!] === 0 || atMs <= nowMs) continue
      if (next === undefined || atMs < next) next = atMs
    }
    return next
  }

  /** Looks for an entry that was put into one of the group's own streams or given back to it. */
  expectDue(stream: number, dueAtMs: number, offset: number): void {
    this.place(stream).lookFrom(dueAtMs, offset)
    this.dueAtMs.set(stream, Math.min(dueAtMs, this.dueAtMs.get(stream) ?? dueAtMs))
  }
}

/** A pending call of `Consumer.next`. */
export class Waiter {
  readonly call: NextCall
  readonly group: GroupSession
  readonly answer: (answer: Answer<Transferred<Deliveries>>) => void
  readonly fail: (reason: unknown) => void
  /** On the clock of `performance.now`. */
  readonly expiresAt: number

  constructor(call: NextCall, group: GroupSession, promise: PromiseWithResolvers<Answer<Transferred<Deliveries>>>) {
    this.call = call
    this.group = group
    this.answer = promise.resolve
    this.fail = promise.reject
    this.expiresAt = performance.now() + call.maxWaitMs
  }

  get isExpired(): boolean {
    return performance.now() >= this.expiresAt
  }

  /** Answers the call with nothing. */
  end(): void {
    this.answer(new Transferred({ deliveries: new Float64Array(0), bytes: null }, []))
  }
}

/** A consumer that has joined and not left. */
export interface Member {
  readonly group: GroupSession
  readonly leases: Map<number, Lease>
}

/** Why the appends of a stream were refused, and how many times. */
export interface StreamRefusals {
  readonly generation: number
  readonly last: MillraceError
}

export function streamKey({ topic, partition, lane }: StreamName): string {
  return `${partition}/${lane}/${topic}`
}

export class Session {
  readonly groups = new Map<number, GroupSession>()
  readonly members = new Map<number, Member>()
  readonly tails = new TailWaiters()
  /** By streamKey. */
  readonly refusals = new Map<string, StreamRefusals>()
  /** Set when entries have become free behind a transaction, so that waiters are to be looked at once more. */
  mustLookAgain = false
  #lastLease = 0
  #lastConsumer = 0

  nextLease(): number {
    return ++this.#lastLease
  }

  join(group: GroupSession): number {
    this.members.set(++this.#lastConsumer, { group, leases: new Map() })
    return this.#lastConsumer
  }

  hasConsumers(name: GroupName): boolean {
    return this.members
      .values()
      .some(({ group }) => group.topic === name.topic && group.name === name.group && !group.isDropped)
  }

  hasMembers(groupNumber: number): boolean {
    return this.members.values().some(({ group }) => group.groupNumber === groupNumber)
  }

  /** Ends a group: its waiters are refused, and so is whatever its consumers call. */
  drop(groupNumber: number): void {
    const group = this.groups.get(groupNumber)
    if (group === undefined) return
    this.groups.delete(groupNumber)
    group.isDropped = true
    const refusal = toRefusal(groupNotFound(group.topic, group.name))
    for (const waiter of group.waiters.splice(0)) waiter.answer(refusal)
  }

  /** Refuses the stream's appends until the caller knows of this refusal. */
  refuse(stream: StreamName, refusal: MillraceError): MillraceError {
    this.refusals.set(streamKey(stream), { generation: this.generationOf(stream) + 1, last: refusal })
    return refusal
  }

  /** How many times appends of the stream were refused. */
  generationOf(stream: StreamName): number {
    return this.refusals.get(streamKey(stream))?.generation ?? 0
  }

  /** To be called when the hand-out is durable. */
  lease(lease: Lease): void {
    const { group, stream, firstOffset, count } = lease
    this.members.get(lease.consumer)?.leases.set(lease.id, lease)
    group.place(stream).leases.set(firstOffset, lease)
    group.inFlightEvents += count
  }

  /** To be called when the entry was settled, or given back. */
  release({ id, consumer, group, stream, firstOffset, count }: Lease): void {
    this.members.get(consumer)?.leases.delete(id)
    group.place(stream).leases.delete(firstOffset)
    group.inFlightEvents -= count
  }
}
