// Settles leases: acknowledges their entries, counts the outcomes, and stores what must be redelivered in the group's own
// stream, due at its time.

import { lanes } from '../../../event/event.ts'
import type { CursorRow } from '../file/books.ts'
import type { OffsetRange } from '../file/entry-table.ts'
import { againFields, batchFields, outcomeFields, type SettleAnswer, type SettleCall } from '../protocol.ts'
import { groupNotFound } from './find.ts'
import { endHold } from './key-queue.ts'
import { Operation } from './operation.ts'
import { storeReply } from './requests.ts'
import type { Lease, Session } from './session.ts'
import { type Redelivery, storeDue } from './store-due.ts'
import type { UnitOfWork } from './unit-of-work.ts'

interface Outcome {
  readonly lease: Lease
  readonly index: number
  readonly landed: number
  readonly dead: number
  /** Its batches to be redelivered: index of the first one, and of the one behind the last. */
  readonly from: number
  readonly to: number
}

export class SettleOperation extends Operation<SettleAnswer> {
  readonly #call: SettleCall
  readonly #session: Session
  #settled: readonly Outcome[] = []
  #refused: number[] = []
  /** Events that are returned without an attempt. */
  #returned = 0
  #replied: number[] = []

  constructor(call: SettleCall, session: Session) {
    super()
    this.#call = call
    this.#session = session
  }

  override get newBytes(): number {
    const { again, replies } = this.#call
    return replies.values().reduce((sum, { bytes }) => sum + bytes.length, again?.bytes.length ?? 0)
  }

  run(work: UnitOfWork): void {
    const member = this.#session.members.get(this.#call.consumer)
    if (member !== undefined && work.group(member.group.groupNumber) === undefined) {
      throw groupNotFound(member.group.topic, member.group.name)
    }
    this.#settled = this.#read()
    this.#returned = 0
    this.#replied = []
    const ranges = new Map<CursorRow, OffsetRange[]>()
    for (const outcome of this.#settled) {
      this.#count(work, outcome)
      const { lease } = outcome
      if (lease.dueAtMs !== null) this.#removeDue(work, lease, lease.dueAtMs)
      else this.#passEntry(work, lease, ranges)
      this.#redeliver(work, outcome)
      const reply = this.#call.replies.get(outcome.index)
      if (reply === undefined) continue
      if (storeReply(work, lease, reply, this.#call.nowMs)) this.#replied.push(outcome.index)
    }
    for (const [cursor, all] of ranges) for (const range of joined(all)) work.settle(cursor, range)
  }

  committed(): void {
    for (const { lease, landed, dead } of this.#settled) {
      this.#session.release(lease)
      lease.group.settledEvents += landed + dead
      // Another consumer may have waited for the stream.
      this.#session.mustLookAgain ||= lease.group.isOrdered
    }
    const group = this.#settled[0]?.lease.group
    if (this.#returned > 0 && group !== undefined && group.msPerEvent > 0) {
      group.limitedUntil -= this.#returned * group.msPerEvent
      this.#session.mustLookAgain = true
    }
    this.resolve({ notHeld: this.#refused, replied: this.#replied })
  }

  #read(): Outcome[] {
    const { consumer, outcomes } = this.#call
    const leases = this.#session.members.get(consumer)?.leases
    const found: Outcome[] = []
    const seen = new Set<number>()
    this.#refused = []
    let batch = 0
    for (let at = 0; at < outcomes.length; at += outcomeFields) {
      const id = outcomes[at]!
      const lease = seen.has(id) ? undefined : leases?.get(id)
      const from = batch
      batch += outcomes[at + 3]!
      const index = at / outcomeFields
      if (lease === undefined) this.#refused.push(index)
      else found.push({ lease, index, landed: outcomes[at + 1]!, dead: outcomes[at + 2]!, from, to: batch })
      seen.add(id)
    }
    return found
  }

  #count(work: UnitOfWork, { lease, landed, dead }: Outcome): void {
    const ledger = work.changeLedger(lease.group.groupNumber, lease.partition)
    ledger.landed += landed
    ledger.dead += dead
    ledger.waitingEvents -= lease.count
    ledger.waitingBytes -= lease.byteLength
    // The size of a missing entry is unknown, so the count of bytes may drift: it is reset when nothing waits.
    if (ledger.waitingEvents === 0) ledger.waitingBytes = 0
  }

  #removeDue(work: UnitOfWork, { group, stream, appendNumber, firstOffset, eventKey }: Lease, dueAtMs: number): void {
    work.books.due.remove(stream, dueAtMs, firstOffset)
    work.entries.remove(appendNumber)
    work.streams.change(work.streams.get(stream)!).dueKept--
    endHold(work, group, stream, eventKey)
  }

  #passEntry(work: UnitOfWork, lease: Lease, ranges: Map<CursorRow, OffsetRange[]>): void {
    const { group, stream, firstOffset, count, attempt } = lease
    const cursor = work.cursors.get(group.groupNumber, stream)!
    // An attempt other than the first has a row (hand-out.ts).
    if (attempt !== 1) work.forgetAttempts(cursor, firstOffset)
    const range = { start: firstOffset, end: firstOffset + count }
    const known = ranges.get(cursor)
    if (known === undefined) ranges.set(cursor, [range])
    else known.push(range)
  }

  #redeliver(work: UnitOfWork, { lease, from, to }: Outcome): void {
    const { group, partition, stream, originOffset, attempt } = lease
    const lane = lanes[stream % lanes.length]!
    if (this.#call.again === null) return
    const { bytes, batches, numbers, keys } = this.#call.again
    for (let index = from; index < to; index++) {
      const offset = numbers[index * againFields + 3]!
      const [start, length] = [batches[index * batchFields]!, batches[index * batchFields + 1]!]
      const redelivery: Redelivery = {
        count: batches[index * batchFields + 2]!,
        receivedAtMicros: batches[index * batchFields + 3]!,
        attempt: numbers[index * againFields]!,
        dueAtMs: Math.ceil(numbers[index * againFields + 1]!),
        isSuspect: numbers[index * againFields + 2] === 1,
        originOffset: offset < 0 ? originOffset : offset,
        eventKey: keys[index]!,
      }
      if (redelivery.attempt < attempt) this.#returned += redelivery.count
      const own = work.ownStream(group.groupNumber, partition, lane)
      storeDue(work, group, own, redelivery, bytes.subarray(start, start + length))
    }
  }
}

/** Ranges that do not overlap, with those side by side as one. */
function joined(ranges: readonly OffsetRange[]): OffsetRange[] {
  const result: { start: number; end: number }[] = []
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const last = result.at(-1)
    if (last?.end === range.start) last.end = range.end
    else result.push({ ...range })
  }
  return result
}
