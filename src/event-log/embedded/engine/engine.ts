// The engine of the embedded log: collects calls while a transaction runs, and makes them the next one (group commit).
// There is no timer for that: the calls of one turn of the thread's event loop are one transaction.
//
// Job: when a transaction or a piece of reading runs, and what becomes of both when the disk is full or the file fails.
// Not its job: what they do (the operations), which entry goes to whom (hand-out.ts).

import { MillraceError } from '../../../errors.ts'
import type { Transferred } from '../../../lib/sqlite/database-thread.ts'
import { SqliteFailure, toSqliteFailure } from '../../../lib/sqlite/failure.ts'
import { diskFull } from '../disk-full.ts'
import type { Answer, Deliveries, NextCall } from '../protocol.ts'
import { packDeliveries } from './deliveries.ts'
import { groupNotFound } from './find.ts'
import { HandOut } from './hand-out.ts'
import type { KeptCheck } from './kept-check.ts'
import type { LogWriter } from './log-writer.ts'
import { type Operation, toRefusal } from './operation.ts'
import { type GroupSession, type Place, type Session, Waiter } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/** While the disk is full, a transaction is retried after a pause that doubles from the first to the longest. */
const firstPauseMs = 10
const longestPauseMs = 500

/** How many pauses closing waits for space on a full disk. */
const maxPausesWhileClosing = 10

/** The longest delay that setTimeout takes: a longer one would fire at once. */
const longestTimerMs = 2 ** 31 - 1

/** Reads in pieces; each step is one. */
export interface Reading {
  readonly step: () => boolean
  readonly fail: (reason: unknown) => void
}

export class Engine {
  readonly #writer: LogWriter
  readonly #session: Session
  #operations: Operation<unknown>[] = []
  /** Work in steps of its own, one of them in each transaction. */
  readonly #background: Operation<unknown>[] = []
  readonly #readings: Reading[] = []
  /** The places whose rows are being checked, each with the group that waits for it. */
  readonly #checking = new Map<Place, GroupSession>()
  /** The caller's clock less that of the machine. */
  #skewMs = 0
  /** What a full disk holds up, and how often it was retried. */
  #stalled: { readonly operations: Operation<unknown>[]; pauses: number } | null = null
  #timer: NodeJS.Timeout | null = null
  #isScheduled = false
  #failure: SqliteFailure | null = null
  #closing: PromiseWithResolvers<null> | null = null

  constructor(writer: LogWriter, session: Session) {
    this.#writer = writer
    this.#session = session
  }

  get isClosing(): boolean {
    return this.#closing !== null
  }

  /** Whether what the disk has no room for is refused at once. */
  get isWaitingForRoom(): boolean {
    return this.#stalled !== null
  }

  run<T>(operation: Operation<T>): Promise<Answer<T>> {
    if (this.#failure !== null) operation.fail(this.#failure)
    else if (this.#stalled !== null && operation.refusableBytes > 0) operation.refuse(diskFull())
    else this.#operations.push(operation as Operation<unknown>)
    this.#schedule()
    return operation.answer
  }

  /** Runs an operation that is a step of longer work: one of them in each transaction. */
  runInBackground<T>(operation: Operation<T>): Promise<Answer<T>> {
    if (this.#failure !== null) operation.fail(this.#failure)
    else this.#background.push(operation as Operation<unknown>)
    this.#schedule()
    return operation.answer
  }

  /** Reads between two transactions, in as many pieces as the reading yields. */
  read<T>(reading: Generator<void, T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    if (this.#failure !== null) reject(this.#failure)
    const step = () => {
      const { done, value } = reading.next()
      if (done === true) resolve(value as T)
      return done !== true
    }
    if (this.#failure === null) this.#readings.push({ step, fail: reject })
    this.#schedule()
    return promise
  }

  /** Waits for entries. */
  next(call: NextCall): Promise<Answer<Transferred<Deliveries>>> {
    const answer = Promise.withResolvers<Answer<Transferred<Deliveries>>>()
    const group = this.#session.members.get(call.consumer)?.group
    this.#skewMs = call.skewMs
    if (this.#failure !== null) answer.reject(this.#failure)
    else if (group === undefined || group.isDropped) {
      answer.resolve(toRefusal(groupNotFound(group?.topic ?? '', group?.name ?? '')))
    } else group.waiters.push(new Waiter(call, group, answer))
    this.#schedule()
    return answer.promise
  }

  /** Ends waiting calls that match with nothing. */
  abort(isMeant: (call: NextCall) => boolean): void {
    for (const group of this.#session.groups.values()) {
      for (const waiter of group.waiters.filter(({ call }) => isMeant(call))) this.#end(waiter)
    }
  }

  /** Resolves when everything called before is done. */
  close(): Promise<null> {
    this.#closing ??= Promise.withResolvers()
    this.#schedule()
    if (this.#failure !== null) this.#closing.resolve(null)
    return this.#closing.promise
  }

  /** Runs a turn when all messages that have arrived are in the queue. */
  #schedule(): void {
    if (this.#isScheduled || this.#failure !== null) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#guard(() => this.#turn())
    })
  }

  #turn(): void {
    if (this.#stalled === null) {
      this.#session.mustLookAgain = false
      const background = this.#background.shift()
      const operations = this.#operations.splice(0)
      this.#transact(background === undefined ? operations : [...operations, background])
    }
    this.#readPiece()
    const hasCalls = this.#operations.length + this.#background.length > 0
    const isBusy = hasCalls || this.#session.mustLookAgain || this.#writer.mayCheckpoint
    if ((isBusy && this.#stalled === null) || this.#readings.length > 0) this.#schedule()
    else if (this.#stalled === null) this.#rest()
  }

  #readPiece(): void {
    const reading = this.#readings.shift()
    if (reading === undefined) return
    try {
      if (this.#writer.guarded(reading.step)) this.#readings.push(reading)
    } catch (thrown) {
      reading.fail(thrown)
      throw thrown
    }
  }

  #transact(operations: Operation<unknown>[], pauses = 0): void {
    try {
      if (this.#writer.mayCheckpoint) this.#writer.checkpoint()
      this.#transactOrStall(operations, pauses)
    } catch (thrown) {
      for (const operation of operations) operation.fail(thrown)
      throw thrown
    }
  }

  #transactOrStall(all: readonly Operation<unknown>[], pauses: number): void {
    const newBytes = all.reduce((sum, { refusableBytes }) => sum + refusableBytes, 0)
    let operations = newBytes > 0 && !this.#writer.hasRoom(newBytes) ? refuseForRoom(all) : [...all]
    while (!this.#tryTransaction(operations)) {
      const rest = refuseForRoom(operations)
      if (rest.length === operations.length) {
        this.#stall(operations, pauses)
        return
      }
      operations = rest
    }
  }

  /** Returns false when the disk is full: then nothing was written, and nobody was answered. */
  #tryTransaction(operations: readonly Operation<unknown>[]): boolean {
    const refused = new Map<Operation<unknown>, MillraceError>()
    const newBytes = operations.reduce((sum, { newBytes }) => sum + newBytes, 0)
    let handOut: HandOut | null = null
    try {
      this.#writer.commit(newBytes, (work) => {
        for (const operation of operations) runOne(operation, work, refused)
        handOut = this.#handOut(work)
      })
    } catch (thrown) {
      if (toSqliteFailure(thrown).kind === 'full') return false
      throw thrown
    }
    // First the new leases, then what ends them: so an entry that is given back is looked for again.
    const done = handOut as HandOut | null
    done?.committed()
    for (const operation of operations) {
      const reason = refused.get(operation)
      if (reason === undefined) operation.committed()
      else operation.refuse(reason)
    }
    // The proxy must have the entries of the appends before it gets deliveries of them.
    if (done !== null) this.#deliver(done)
    return true
  }

  #handOut(work: UnitOfWork): HandOut {
    const handOut = new HandOut(work, this.#session, Date.now() + this.#skewMs)
    for (const group of this.#session.groups.values()) for (const waiter of group.waiters) handOut.fill(waiter)
    handOut.lookAhead()
    return handOut
  }

  #deliver(handOut: HandOut): void {
    for (const [waiter, entries] of handOut.filled) {
      remove(waiter)
      waiter.answer(packDeliveries(entries))
    }
    for (const check of handOut.checks) this.#check(check)
    this.#endExpired()
  }

  /** Checks a cursor with many rows in pieces; its group waits meanwhile. */
  #check(check: KeptCheck): void {
    if (this.#checking.has(check.place)) return
    this.#checking.set(check.place, check.group)
    const step = () => {
      const hasMore = check.step()
      if (!hasMore) this.#checking.delete(check.place)
      this.#session.mustLookAgain ||= !hasMore
      return hasMore
    }
    this.#readings.push({ step, fail() {} })
  }

  #endExpired(): void {
    const busy = new Set(this.#checking.values())
    for (const group of this.#session.groups.values()) {
      if (busy.has(group)) continue
      for (const waiter of group.waiters.filter(({ isExpired }) => isExpired)) this.#end(waiter)
    }
  }

  #end(waiter: Waiter): void {
    remove(waiter)
    waiter.end()
  }

  /** Keeps operations that a full disk holds up, to be tried again. */
  #stall(operations: Operation<unknown>[], pauses: number): void {
    this.#endExpired()
    this.#stalled = { operations, pauses }
    if (this.isClosing && pauses >= maxPausesWhileClosing) throw new SqliteFailure('full', 'the disk is full')
    this.#setTimer(Math.min(firstPauseMs * 2 ** pauses, longestPauseMs), () => {
      const all = [...operations, ...this.#operations.splice(0)]
      this.#stalled = null
      this.#transact(all, pauses + 1)
      if (this.#stalled === null) this.#schedule()
    })
  }

  /** Called when there is nothing to do: waits for the next due entry, or for the end of a call's time. */
  #rest(): void {
    if (this.#closing !== null) {
      for (const group of this.#session.groups.values()) for (const waiter of [...group.waiters]) this.#end(waiter)
      this.#closing.resolve(null)
      return
    }
    let delayMs = Number.POSITIVE_INFINITY
    const nowMs = Date.now() + this.#skewMs
    for (const group of this.#session.groups.values()) {
      for (const { call, expiresAt } of group.waiters) {
        delayMs = Math.min(delayMs, expiresAt - performance.now())
        const limitedMs = group.msPerEvent > 0 ? group.limitedUntil - performance.now() : 0
        if (limitedMs > 0) delayMs = Math.min(delayMs, limitedMs)
        const dueAtMs = group.isPaused ? undefined : group.nextDueAtMs(call.maxEvents, nowMs)
        if (dueAtMs !== undefined) delayMs = Math.min(delayMs, dueAtMs - nowMs)
      }
    }
    if (delayMs === Number.POSITIVE_INFINITY) this.#clearTimer()
    else this.#setTimer(Math.min(Math.max(delayMs, 1), longestTimerMs), () => this.#schedule())
  }

  #setTimer(delayMs: number, wake: () => void): void {
    this.#clearTimer()
    this.#timer = setTimeout(() => this.#guard(wake), delayMs)
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #guard(work: () => void): void {
    try {
      work()
    } catch (thrown) {
      this.#fail(toSqliteFailure(thrown))
    }
  }

  /** Ends the log: every call is answered with the failure, its outcome is unknown. */
  #fail(failure: SqliteFailure): void {
    this.#failure ??= failure
    this.#clearTimer()
    const operations = [...(this.#stalled?.operations ?? []), ...this.#operations, ...this.#background]
    for (const call of [...operations, ...this.#readings]) call.fail(failure)
    for (const group of this.#session.groups.values()) for (const waiter of group.waiters) waiter.fail(failure)
    this.#session.tails.endAll()
    this.#closing?.resolve(null)
  }
}

function runOne(
  operation: Operation<unknown>,
  work: UnitOfWork,
  refused: Map<Operation<unknown>, MillraceError>,
): void {
  try {
    operation.run(work)
  } catch (thrown) {
    if (!(thrown instanceof MillraceError)) throw thrown
    refused.set(operation, thrown)
  }
}

/** Refuses what the disk has no room for, and returns the rest. */
function refuseForRoom(operations: readonly Operation<unknown>[]): Operation<unknown>[] {
  const reason = diskFull()
  return operations.filter((operation) => {
    if (operation.refusableBytes > 0) operation.refuse(reason)
    return operation.refusableBytes === 0
  })
}

function remove(waiter: Waiter): void {
  const { waiters } = waiter.group
  waiters.splice(waiters.indexOf(waiter), 1)
}
