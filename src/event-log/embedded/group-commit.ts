// The group commit: while one transaction is being made durable, all arriving requests collect into the next one. There
// is no timer: the next transaction forms while the last one is flushed.
//
// Job: queue requests, combine them into one transaction, have it committed, and only then apply it to the state. A
// full disk is waited out here; any other failure ends the log.
// Not its job: the contents of a transaction (commit-plan.ts, declare-plan.ts, pause-plan.ts, drop-plan.ts), which
// consumer gets which entry (hand-out.ts).

import { setTimeout as sleep } from 'node:timers/promises'
import { type MillraceError, toMillraceError } from '../../errors.ts'
import { SqliteFailure } from '../../lib/sqlite/failure.ts'
import type { CommitStats } from '../event-log.ts'
import {
  type Appends,
  CommitPlan,
  type GiveBack,
  type Reopening,
  type Settlement,
  type TrimRequest,
} from './commit-plan.ts'
import { DeclarePlan, type DeclareRequest } from './declare-plan.ts'
import { DropPlan, type DropRequest } from './drop-plan.ts'
import { groupNotFound } from './find-place.ts'
import type { GroupState } from './group-state.ts'
import { handOut, hasWork, nextDueAtMs } from './hand-out.ts'
import type { HeldEntry } from './held-entry.ts'
import { diskFull, finalError, unknownOutcome } from './log-failure.ts'
import type { LogState } from './log-state.ts'
import { PageReader } from './page-reader.ts'
import { PausePlan, type PauseRequest } from './pause-plan.ts'
import type { PendingAppend } from './pending-append.ts'
import type { CommitReply, CommitRequest, LogThread } from './thread-protocol.ts'
import { type Waiter, WaitingRoom } from './waiter.ts'

/** Max bytes of appends, and of reopenings, after which a transaction takes no more of them. */
const maxGroupBytes = 8 * 1024 * 1024

/** The disk is full when it has no room for a message of this size. */
const usualMessageBytes = 64 * 1024

/** While the disk is full, the commit is retried after a pause that doubles from the first to the longest. */
const firstPauseMs = 10
const longestPauseMs = 500

/** How many pauses closing waits for space on a full disk. */
const maxPausesWhileClosing = 10

/** The longest delay that setTimeout takes: a longer one would fire at once. */
const longestTimerMs = 2 ** 31 - 1

/** One transaction of the group commit. */
interface Transaction {
  readonly isEmpty: boolean
  readonly appends: Appends
  encode(): CommitRequest
  /** Removes and rejects what the disk has no space for. */
  refuse(reason: unknown): void
  committed(reply: CommitReply): void
  failed(reason: unknown): void
}

/** A change to topics or consumer groups, in a transaction of its own. */
interface StructureChange {
  /** Null when there is nothing to do; the request is then already resolved. May throw. */
  plan(): Transaction | null
  reject(reason: unknown): void
}

export interface GroupCommitOptions {
  readonly thread: LogThread
  readonly state: LogState
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  readonly onCommit: (stats: CommitStats) => void
  /** Called when the disk is found to be full, and when it has space again. */
  readonly onDiskFull: (isFull: boolean) => void
}

export class GroupCommit {
  readonly #options: GroupCommitOptions
  readonly #reader: PageReader
  readonly #room = new WaitingRoom()
  #appends: PendingAppend[] = []
  #settlements: Settlement[] = []
  #reopenings: Reopening[] = []
  #giveBacks: GiveBack[] = []
  #changes: StructureChange[] = []
  #trims: TrimRequest[] = []
  #current: Transaction | null = null
  #isScheduled = false
  #isDiskFull = false
  #isWaitingForRoom = false
  #isClosing = false
  #isClosed = false
  #dueTimer: NodeJS.Timeout | null = null
  #failure: MillraceError | null = null
  #idle: PromiseWithResolvers<void> | null = null

  readonly #failed = Promise.withResolvers<MillraceError>()

  constructor(options: GroupCommitOptions) {
    this.#options = options
    const { thread, state } = options
    this.#reader = new PageReader(
      thread,
      state,
      () => this.schedule(),
      (reason) => this.fail(reason),
    )
    void thread.failed.then((failure) => this.fail(failure))
  }

  /** Resolves with the reason when nothing more can be committed. */
  get failed(): Promise<MillraceError> {
    return this.#failed.promise
  }

  /** The reason why nothing more can be committed, or null. */
  get failure(): MillraceError | null {
    return this.#failure
  }

  /** Whether appends are refused because the transaction in flight waits for disk space. */
  get isWaitingForRoom(): boolean {
    return this.#isWaitingForRoom
  }

  /** Finds out whether the disk is full although nothing is appended. */
  async checkRoom(): Promise<void> {
    const hasRoom = await this.#options.thread.call('hasRoom', usualMessageBytes)
    // A transaction that waits for room knows better.
    if (!this.#isWaitingForRoom) this.#setDiskFull(!hasRoom)
  }

  append(append: PendingAppend): void {
    this.#appends.push(append)
    this.schedule()
  }

  settle(settlement: Settlement): void {
    this.#settlements.push(settlement)
    this.schedule()
  }

  reopen(reopening: Reopening): void {
    this.#reopenings.push(reopening)
    this.schedule()
  }

  giveBack(held: readonly HeldEntry[]): Promise<void> {
    // All entries of one call belong to one group.
    if (held[0]?.part.group.isDropped === true) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#giveBacks.push({ held, resolve, reject })
      this.schedule()
    })
  }

  declare(request: DeclareRequest): void {
    const plan = () => {
      const planned = new DeclarePlan(this.#options.state, request)
      if (!planned.isEmpty) return planned
      request.resolve()
      return null
    }
    this.#change({ plan, reject: request.reject })
  }

  pause(request: PauseRequest): void {
    const plan = () => {
      this.#checkNotDropped(request.group)
      return new PausePlan(request)
    }
    this.#change({ plan, reject: request.reject })
  }

  drop(request: DropRequest): void {
    const plan = () => {
      this.#checkNotDropped(request.group)
      const planned = new DropPlan(this.#options.state, request)
      this.#refuseDropped(request.group)
      return planned
    }
    this.#change({ plan, reject: request.reject })
  }

  trim(request: TrimRequest): void {
    this.#trims.push(request)
    this.schedule()
  }

  /** Adds a waiting call of `Consumer.next`. */
  wait(group: GroupState, waiter: Waiter): void {
    this.#room.enter(group, waiter)
    this.schedule()
  }

  /** Ends a waiter whose time is over with an empty list, unless there are entries for it. */
  expired(group: GroupState, waiter: Waiter): void {
    if (waiter.isSealed || hasWork(group, waiter.next.maxEvents, this.#options.now())) return
    this.#room.leave(group, waiter)
    waiter.finish([])
  }

  /** Removes a waiter that was given up. */
  givenUp(group: GroupState, waiter: Waiter): void {
    this.#room.leave(group, waiter)
  }

  /** Unless a commit is in flight, starts one at the end of this event loop turn, so that it has all its requests. */
  schedule(): void {
    if (this.#isScheduled || this.#current !== null || this.#failure !== null || this.#isClosed) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (this.#failure === null && this.#current === null) this.#commitNext()
    })
  }

  /**
   * Resolves when nothing is in flight and nothing waits to be committed. No request may be made after that. From this
   * call on, the wait for space on a full disk is limited.
   */
  drained(): Promise<void> {
    this.#isClosing = true
    this.#idle ??= Promise.withResolvers()
    this.schedule()
    if (this.#failure !== null) this.#idle.resolve()
    return this.#idle.promise
  }

  /** Ends the log: rejects every pending request, whose outcome is unknown, and hands out nothing more. */
  fail(thrown: unknown): void {
    if (this.#failure !== null || this.#isClosed) return
    this.#failure = thrown instanceof SqliteFailure ? finalError(thrown) : toMillraceError(thrown)
    const reason = unknownOutcome(this.#failure)
    this.#failed.resolve(this.#failure)
    this.#current?.failed(reason)
    this.#current = null
    this.#refuseQueued(reason)
    for (const request of [...this.#settlements, ...this.#giveBacks, ...this.#changes, ...this.#trims]) {
      request.reject(reason)
    }
    for (const waiter of this.#room.empty()) waiter.fail(reason)
    this.#stopTimer()
    this.#idle?.resolve()
  }

  #commitNext(): void {
    const transaction = this.#makeTransaction()
    if (transaction === null) {
      this.#becomeIdle()
      return
    }
    this.#current = transaction
    this.#commit(transaction).then(
      () => {
        if (this.#failure !== null) return
        this.#current = null
        // Appends that arrived meanwhile are committed at once, before the callers just resolved can append more.
        if (this.#appends.length > 0) this.#commitNext()
        else this.schedule()
      },
      (thrown) => this.fail(thrown),
    )
  }

  /** Called when there is nothing to commit. */
  #becomeIdle(): void {
    if (this.#idle === null) {
      this.#armTimer()
    } else {
      this.#isClosed = true
      this.#idle.resolve()
    }
  }

  #makeTransaction(): Transaction | null {
    for (let change = this.#changes.shift(); change !== undefined; change = this.#changes.shift()) {
      const plan = this.#planChange(change)
      if (plan !== null) return plan
    }
    const { state, now } = this.#options
    const plan = new CommitPlan(state)
    for (const append of takeBytes(this.#appends, maxGroupBytes)) plan.append(append)
    for (const settlement of this.#settlements.splice(0)) plan.settle(settlement)
    for (const reopening of takeBytes(this.#reopenings, maxGroupBytes)) plan.reopen(reopening)
    for (const giveBack of this.#giveBacks.splice(0)) plan.giveBack(giveBack)
    plan.loseMissing(state.missing.splice(0))
    const trim = this.#trims.shift()
    if (trim !== undefined) plan.trim(trim)
    const nowMs = now()
    for (const group of this.#room.groups()) this.#handOut(group, plan, nowMs)
    return plan.isEmpty ? null : plan
  }

  #change(change: StructureChange): void {
    this.#changes.push(change)
    this.schedule()
  }

  #planChange(change: StructureChange): Transaction | null {
    try {
      return change.plan()
    } catch (thrown) {
      change.reject(thrown)
      return null
    }
  }

  #checkNotDropped(group: GroupState): void {
    if (group.isDropped) throw groupNotFound(group.topic, group.name)
  }

  /** Removes the queued requests of a dropped group: nothing more is to be written for it. */
  #refuseDropped(group: GroupState): void {
    const reason = groupNotFound(group.topic, group.name)
    const isOf = ({ held }: { readonly held: readonly HeldEntry[] }) => held[0]?.part.group === group
    for (const waiter of this.#room.clear(group)) waiter.fail(reason)
    for (const settlement of this.#settlements.filter(isOf)) settlement.reject(reason)
    this.#settlements = this.#settlements.filter((settlement) => !isOf(settlement))
    for (const reopening of this.#reopenings) if (reopening.part.group === group) reopening.reject(reason)
    this.#reopenings = this.#reopenings.filter(({ part }) => part.group !== group)
    for (const giveBack of this.#giveBacks.filter(isOf)) giveBack.resolve()
    this.#giveBacks = this.#giveBacks.filter((giveBack) => !isOf(giveBack))
  }

  #handOut(group: GroupState, plan: CommitPlan, nowMs: number): void {
    for (const waiter of this.#room.of(group)) {
      const held = handOut(group, waiter.next, { plan, reader: this.#reader, nowMs })
      if (held.length > 0) {
        this.#room.leave(group, waiter)
        waiter.isSealed = true
        plan.handOut({ waiter, held, release: () => this.#release(group, waiter) })
      } else if (waiter.isExpired) {
        this.expired(group, waiter)
      }
    }
  }

  /** All entries planned for a waiter were refused: it keeps waiting, first in the queue. */
  #release(group: GroupState, waiter: Waiter): void {
    waiter.isSealed = false
    if (waiter.isFinished) {
      waiter.receive([])
    } else {
      this.#room.enterFirst(group, waiter)
      if (waiter.isExpired) this.expired(group, waiter)
    }
  }

  async #commit(transaction: Transaction): Promise<void> {
    const { thread, onCommit } = this.#options
    for (let pauses = 0; ; pauses++) {
      const startedAt = performance.now()
      const request = transaction.encode()
      const reply = await this.#tryCommit(thread, request)
      if (this.#failure !== null) return
      if (reply?.committed === true) {
        // A commit without refusable bytes says nothing about the space for them.
        if (request.refusableBytes > 0) this.#setDiskFull(false)
        this.#isWaitingForRoom = false
        const { appends } = transaction
        transaction.committed(reply)
        onCommit({ ...appends, durationMs: performance.now() - startedAt })
        return
      }
      this.#setDiskFull(true)
      this.#refuseForLackOfSpace(transaction)
      if (transaction.isEmpty) return
      if (reply !== null) continue
      await this.#pause(pauses)
      if (this.#failure !== null) return
    }
  }

  /** The reply, or null when the disk filled up during the transaction: then nothing was written. */
  async #tryCommit(thread: LogThread, request: CommitRequest): Promise<CommitReply | null> {
    try {
      return await thread.call('commit', request, [request.bytes.buffer])
    } catch (thrown) {
      if (thrown instanceof SqliteFailure && thrown.kind === 'full') return null
      throw thrown
    }
  }

  /** Refuses the transaction's appends and reopenings and the queued ones behind them, which must not overtake. */
  #refuseForLackOfSpace(transaction: Transaction): void {
    const reason = diskFull()
    transaction.refuse(reason)
    this.#refuseQueued(reason)
  }

  #refuseQueued(reason: unknown): void {
    for (const reopening of this.#reopenings.splice(0)) reopening.reject(reason)
    for (const append of this.#appends.splice(0)) {
      append.refuse(reason)
      if (append.message !== null) this.#options.state.producers.releaseUnused(append.message.producer)
    }
  }

  async #pause(pauses: number): Promise<void> {
    this.#isWaitingForRoom = true
    if (this.#isClosing && pauses >= maxPausesWhileClosing) throw diskFull()
    await sleep(Math.min(firstPauseMs * 2 ** pauses, longestPauseMs), undefined, { ref: this.#isClosing })
  }

  #setDiskFull(isFull: boolean): void {
    if (isFull === this.#isDiskFull) return
    this.#isDiskFull = isFull
    this.#options.onDiskFull(isFull)
  }

  /** Sets a timer that wakes waiting consumers at the next redelivery. */
  #armTimer(): void {
    this.#stopTimer()
    let next = Number.POSITIVE_INFINITY
    for (const group of this.#room.groups()) next = Math.min(next, nextDueAtMs(group) ?? next)
    if (next === Number.POSITIVE_INFINITY) return
    const delayMs = Math.min(Math.max(next - this.#options.now(), 1), longestTimerMs)
    this.#dueTimer = setTimeout(() => this.schedule(), delayMs)
    this.#dueTimer.unref()
  }

  #stopTimer(): void {
    if (this.#dueTimer !== null) clearTimeout(this.#dueTimer)
    this.#dueTimer = null
  }
}

/** Takes requests from the front of a queue until they have `maxBytes` bytes. */
function takeBytes<Request extends { readonly bytes: number }>(queue: Request[], maxBytes: number): Request[] {
  let bytes = 0
  let taken = 0
  while (taken < queue.length && bytes < maxBytes) bytes += queue[taken++]!.bytes
  return queue.splice(0, taken)
}
