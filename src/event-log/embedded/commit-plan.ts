// One transaction of the group commit: appends, settlements, reopenings, give-backs, hand-outs and a step of trimming
// that become durable together.
//
// Settlements and hand-outs change the cursors as soon as they are planned: they are certain to be committed, unless
// the log fails. Appends and reopenings stay planned until the commit, because a full disk may refuse them. A refusal
// removes them and the deliveries of their entries from the plan, and the rest is committed.

import type { Outcome, Reopened, Trimmed } from '../event-log.ts'
import { BookPlan, type Taken } from './book-plan.ts'
import { type DueCursor, UnreadCursor } from './cursor.ts'
import { EntryPlan } from './entry-plan.ts'
import type { GroupPartition } from './group-state.ts'
import type { HeldEntry } from './held-entry.ts'
import type { LogState, MissingStretch, PartitionState } from './log-state.ts'
import type { PendingAppend } from './pending-append.ts'
import { ProducerPlan } from './producer-plan.ts'
import type { OffsetRange } from './settled-ranges.ts'
import type { StreamState } from './stream-state.ts'
import { type CommitReply, type CommitRequest, emptyRequest } from './thread-protocol.ts'
import type { Waiter } from './waiter.ts'

/** One call of `Consumer.settle`. */
export interface Settlement {
  readonly held: readonly HeldEntry[]
  /** One for each held entry. */
  readonly outcomes: readonly Outcome[]
  resolve(): void
  reject(reason: unknown): void
}

/** One call of `EventLog.reopen`. */
export interface Reopening {
  readonly part: GroupPartition
  /** The cursor in the group's own stream. */
  readonly own: DueCursor
  readonly batches: readonly Reopened[]
  readonly events: number
  readonly bytes: number
  resolve(): void
  reject(reason: unknown): void
}

/** Held entries that a consumer returns to its group unsettled. */
export interface GiveBack {
  readonly held: readonly HeldEntry[]
  resolve(): void
  reject(reason: unknown): void
}

/** The entries that one waiter gets. */
export interface HandOut {
  readonly waiter: Waiter
  held: readonly HeldEntry[]
  /** Called when no entry is left, because the appends were refused: the waiter keeps waiting. */
  release(): void
}

/** A step of trimming. */
export interface TrimRequest {
  readonly stream: StreamState
  /** All groups have settled every offset below this one. */
  readonly settledBelow: number
  readonly keepSinceMicros: number
  readonly maxBytes: number
  resolve(trimmed: Trimmed & { readonly more: boolean }): void
  reject(reason: unknown): void
}

/** What a commit stored for producers. */
export interface Appends {
  readonly appends: number
  readonly entries: number
  readonly events: number
  readonly bytes: number
}

export class CommitPlan {
  readonly #state: LogState
  readonly #entries: EntryPlan
  readonly #books = new BookPlan()
  readonly #producers: ProducerPlan
  readonly #settlements: Settlement[] = []
  #reopenings: Reopening[] = []
  readonly #giveBacks: GiveBack[] = []
  #handOuts: HandOut[] = []
  #trim: TrimRequest | null = null

  constructor(state: LogState) {
    this.#state = state
    this.#entries = new EntryPlan(state.recent.maxBytes)
    this.#producers = new ProducerPlan(state.producers)
  }

  get isEmpty(): boolean {
    const nothing = this.#entries.size === 0 && this.#handOuts.length === 0
    return nothing && this.#books.isEmpty && this.#trim === null
  }

  get appends(): Appends {
    const { appends, size, appendedBytes } = this.#entries
    const events = appends.reduce((sum, append) => sum + append.events, 0)
    return { appends: appends.length, entries: size, events, bytes: appendedBytes }
  }

  append(append: PendingAppend): void {
    this.#entries.append(append)
    const { message, stream } = append
    if (message !== null) this.#producers.note(message.producer, message.sequence, stream.number)
  }

  settle(settlement: Settlement): void {
    this.#settlements.push(settlement)
    settlement.held.forEach(({ part, cursor, entry }, index) => {
      const { landed, dead, again = [] } = settlement.outcomes[index]!
      const change = this.#books.settle(part, cursor, entry)
      change.landed += landed
      change.dead += dead
      for (const { batch, attempt, dueAtMs } of again) {
        const originOffset = entry.again?.originOffset ?? entry.firstOffset
        this.#entries.appendRedelivery(part.own[cursor.stream.name.lane], batch, {
          attempt,
          dueAtMs: Math.ceil(dueAtMs),
          originOffset,
        })
        change.waitingEvents += batch.count
        change.waitingBytes += batch.bytes.length
      }
    })
  }

  /** To be called after all `settle` calls: EntryPlan needs reopened entries behind redeliveries. */
  reopen(reopening: Reopening): void {
    this.#reopenings.push(reopening)
    for (const { batch, attempt, offset } of reopening.batches) {
      this.#entries.reopen(reopening.own, batch, { attempt, dueAtMs: 0, originOffset: offset })
    }
  }

  giveBack(giveBack: GiveBack): void {
    this.#giveBacks.push(giveBack)
    for (const held of giveBack.held) {
      held.giveBack()
      this.#books.touch(held.part, held.cursor)
    }
  }

  handOut(handOut: HandOut): void {
    this.#handOuts.push(handOut)
  }

  /** Counts ranges that are missing from groups' own streams as lost. */
  loseMissing(missing: readonly MissingStretch[]): void {
    for (const { part, cursor, range } of missing) this.lose(part, cursor, range)
  }

  /** Counts a range that is missing from the file as lost for the group. */
  lose(part: GroupPartition, cursor: UnreadCursor | DueCursor, range: OffsetRange): void {
    this.#books.lose(part, cursor, range)
  }

  trim(request: TrimRequest): void {
    this.#trim = request
  }

  /** The transaction as planned so far. Its `bytes` are to be transferred to the thread. */
  encode(): CommitRequest {
    const lastAppendNumber = this.#state.lastAppendNumber + this.#entries.size
    const { producers, removedProducers, count } = this.#producers.rows(lastAppendNumber)
    const trim = this.#trim
    return {
      ...emptyRequest(),
      ...this.#entries.pack(this.#state.lastAppendNumber + 1, this.#state.packBuffer),
      ...this.#books.rows(
        this.#taken(),
        this.#handOuts.flatMap(({ held }) => held),
      ),
      refusableBytes: this.#entries.refusableBytes,
      log: this.#entries.size === 0 ? null : this.#state.row(lastAppendNumber, count),
      streams: Array.from(this.#entries.streams(), (stream) => stream.row()),
      producers,
      removedProducers,
      trim:
        trim === null
          ? null
          : {
              stream: trim.stream.row(),
              settledBelow: trim.settledBelow,
              keepSinceMicros: trim.keepSinceMicros,
              maxBytes: trim.maxBytes,
            },
    }
  }

  /** Removes and rejects what the disk has no space for: appends and reopenings. */
  refuse(reason: unknown): void {
    const appends = this.#entries.dropRefusable()
    this.#producers.drop()
    for (const handOut of this.#handOuts) {
      for (const { cursor, isPlanned } of handOut.held) {
        if (isPlanned && cursor instanceof UnreadCursor) cursor.forgetPlanned()
      }
      handOut.held = handOut.held.filter((held) => !held.isPlanned)
    }
    for (const handOut of this.#handOuts) if (handOut.held.length === 0) handOut.release()
    this.#handOuts = this.#handOuts.filter((handOut) => handOut.held.length > 0)
    for (const reopening of this.#reopenings) reopening.reject(reason)
    this.#reopenings = []
    for (const append of appends) {
      append.refuse(reason)
      if (append.message !== null) this.#state.producers.releaseUnused(append.message.producer)
    }
  }

  /** Applies the plan to the state and resolves the requests. To be called when the transaction is durable. */
  committed(reply: CommitReply): void {
    this.#state.lastAppendNumber += this.#entries.size
    const isViewed =
      this.#entries.isWanted || this.#handOuts.some(({ held }) => held.some(({ isPlanned }) => isPlanned))
    this.#entries.committed(reply.bytes)
    this.#books.committed()
    this.#producers.committed()
    // Before old entries are evicted from memory: the deliveries must take their bytes first.
    for (const handOut of this.#handOuts) this.#deliver(handOut)
    this.#entries.remember(this.#state.recent)
    if (!isViewed) this.#state.packBuffer.giveBack(reply.bytes.buffer)
    this.#forgetSettled()
    for (const append of this.#entries.appends) append.accept(this.#state.epoch)
    for (const reopening of this.#reopenings) reopening.resolve()
    for (const finished of [...this.#settlements, ...this.#giveBacks]) {
      for (const { part, entry } of finished.held) part.group.inFlightEvents -= entry.count
      finished.resolve()
    }
    if (this.#trim !== null && reply.trimmed !== null) {
      const { trimmedBelow, trimmedByte, ...trimmed } = reply.trimmed
      this.#trim.stream.trimmedBelow = trimmedBelow
      this.#trim.stream.trimmedByte = trimmedByte
      this.#trim.resolve(trimmed)
    }
  }

  /** Rejects all requests: their outcome is unknown. */
  failed(reason: unknown): void {
    for (const append of this.#entries.appends) append.refuse(reason)
    for (const request of [...this.#settlements, ...this.#reopenings, ...this.#giveBacks]) request.reject(reason)
    for (const { waiter } of this.#handOuts) waiter.fail(reason)
    this.#trim?.reject(reason)
  }

  #deliver(handOut: HandOut): void {
    for (const held of handOut.held) {
      held.takeBytes()
      held.part.group.inFlightEvents += held.entry.count
    }
    handOut.waiter.receive(handOut.held)
  }

  #taken(): Taken[] {
    const totals = new Map<PartitionState, { events: number; bytes: number }>()
    for (const { partition, events, bytes } of this.#entries.appends) {
      const total = totals.get(partition)
      if (total === undefined) totals.set(partition, { events, bytes })
      else {
        total.events += events
        total.bytes += bytes
      }
    }
    const appended = Array.from(totals, ([{ topic, number }, total]) => ({
      parts: Array.from(topic.groups.values(), (group) => group.partitions[number]!),
      isReopened: false,
      ...total,
    }))
    const reopened = this.#reopenings.map(({ part, events, bytes }) => ({
      parts: [part],
      isReopened: true,
      events,
      bytes,
    }))
    return [...appended, ...reopened]
  }

  /** Frees the memory of entries that every group has settled. */
  #forgetSettled(): void {
    for (const cursor of this.#books.cursors) {
      if (!(cursor instanceof UnreadCursor)) continue
      const { tail, name } = cursor.stream
      this.#state.recent.dropBelow(tail, this.#state.settledByAllBelow(name))
    }
  }
}
