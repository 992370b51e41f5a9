// The appends of one turn of the proxy: recognises resends, judges limits, and stores what is admitted.

import { MillraceError } from '../../../errors.ts'
import type { ProducerMessage } from '../../../event/producer-message.ts'
import { Transferred } from '../../../lib/sqlite/database-thread.ts'
import { backlogged } from '../../backlogged.ts'
import type { Backlog, StreamName, WaitingLimit } from '../../event-log.ts'
import type { RequestRegistration } from '../../replies.ts'
import type { GroupRow, LedgerRow, StreamRow } from '../file/books.ts'
import {
  type AppendsAnswer,
  type AppendsCall,
  appended,
  appendFields,
  batchFields,
  duplicate,
  type Refusal,
  storedFields,
} from '../protocol.ts'
import { EntryJoiner } from './entry-joiner.ts'
import { findStream } from './find.ts'
import { Operation, toRefusal } from './operation.ts'
import { isResend, remember } from './producers.ts'
import { isRegistered, register } from './requests.ts'
import { type Session, streamKey } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

interface Append {
  readonly seenRefusals: number
  readonly limit: WaitingLimit | null
  readonly message: ProducerMessage | null
  readonly once: RequestRegistration | null
  /** Its batches: index of the first one, and of the one behind the last. */
  readonly from: number
  readonly to: number
}

/** A stream of the call, and who waits in its partition. */
interface Target {
  readonly name: StreamName
  readonly stream: StreamRow
  readonly groups: readonly { readonly row: GroupRow; readonly ledger: LedgerRow }[]
}

export class AppendOperation extends Operation<Transferred<AppendsAnswer>> {
  readonly #call: AppendsCall
  readonly #session: Session
  readonly #maxRecentBytes: number
  readonly #startedAt = performance.now()
  readonly #outcomes: Float64Array
  readonly #offsets: Float64Array
  readonly #refusals: Refusal[] = []
  #entries: readonly number[] = []
  #stored = { entries: 0, bytes: 0 }

  /** @param maxRecentBytes max bytes of the newest entries that the proxy keeps. */
  constructor(call: AppendsCall, session: Session, maxRecentBytes: number) {
    super()
    this.#call = call
    this.#session = session
    this.#maxRecentBytes = maxRecentBytes
    this.#outcomes = new Float64Array(call.appends.length / appendFields).fill(appended)
    this.#offsets = new Float64Array(call.batches.length / batchFields)
  }

  override get refusableBytes(): number {
    return this.#call.bytes.byteLength
  }

  run(work: UnitOfWork): void {
    const targets = this.#call.streams.map((name) => findTarget(work, name))
    const joiner = new EntryJoiner(work, this.#call.bytes)
    let index = 0
    for (const [target, append] of this.#appends(targets)) {
      try {
        if (target instanceof MillraceError) throw target
        if (this.#isStored(work, target.stream, append)) this.#outcomes[index] = duplicate
        else this.#store(work, joiner, target, append)
      } catch (thrown) {
        if (!(thrown instanceof MillraceError)) throw thrown
        this.#outcomes[index] = this.#refusals.push(toRefusal(thrown)) - 1
      }
      index++
    }
    this.#finish(joiner, targets)
  }

  committed(): void {
    const generations = this.#call.streams.map((name) => this.#session.generationOf(name))
    const { bytes } = this.#call
    const answer: AppendsAnswer = {
      bytes,
      outcomes: this.#outcomes,
      offsets: this.#offsets,
      refusals: this.#refusals,
      generations: Float64Array.from(generations),
      entries: Float64Array.from(this.#entries),
      stats: { durationMs: performance.now() - this.#startedAt, ...this.#stored },
    }
    this.resolve(new Transferred(answer, [bytes.buffer]))
    if (this.#stored.entries > 0) this.#session.tails.wake(this.#call.streams)
  }

  /** Refuses all appends of the call, in order: the disk is full. */
  override refuse(reason: MillraceError): void {
    for (const name of this.#call.streams) this.#session.refuse(name, reason)
    this.#outcomes.fill(this.#refusals.push(toRefusal(reason)) - 1)
    this.#entries = []
    this.#stored = { entries: 0, bytes: 0 }
    this.committed()
  }

  *#appends<T>(targets: readonly T[]): Generator<[T, Append]> {
    const { appends, producers, registrations } = this.#call
    let batch = 0
    for (let at = 0; at < appends.length; at += appendFields) {
      const maxEvents = appends[at + 3]!
      const [producer, registration] = [appends[at + 5]!, appends[at + 8]!]
      const append: Append = {
        seenRefusals: appends[at + 2]!,
        limit: maxEvents < 0 ? null : { maxEvents, maxBytes: appends[at + 4]! },
        message:
          producer < 0 ? null : { id: producers[producer]!, epoch: appends[at + 6]!, sequence: appends[at + 7]! },
        once: registration < 0 ? null : registrations[registration]!,
        from: batch,
        to: batch + appends[at + 1]!,
      }
      batch = append.to
      yield [targets[appends[at]!]!, append]
    }
  }

  #isStored(work: UnitOfWork, stream: StreamRow, { message, once }: Append): boolean {
    if (message !== null && isResend(work, stream, message)) return true
    return once !== null && isRegistered(work, stream, once, this.#call.nowMs)
  }

  #store(work: UnitOfWork, joiner: EntryJoiner, target: Target, append: Append): void {
    const { batches } = this.#call
    const [from, to] = [append.from * batchFields, append.to * batchFields]
    let events = 0
    let bytes = 0
    for (let at = from; at < to; at += batchFields) {
      bytes += batches[at + 1]!
      events += batches[at + 2]!
    }
    if (events === 0) return
    this.#admit(target, append, events, bytes)
    for (let at = from; at < to; at += batchFields) {
      const batch = { start: batches[at]!, length: batches[at + 1]!, count: batches[at + 2]! }
      const isAlone = append.once !== null
      const packed = { ...batch, receivedAtMicros: batches[at + 3]! }
      this.#offsets[at / batchFields] = joiner.add(target.stream, packed, isAlone)
    }
    if (append.once !== null) {
      register(work, target.stream, append.once, this.#offsets[from / batchFields]!, this.#call.nowMs)
    }
    if (append.message !== null) remember(work, target.stream, append.message)
    for (const { ledger } of target.groups) {
      ledger.waitingEvents += events
      ledger.waitingBytes += bytes
      work.ledgers.change(ledger)
    }
  }

  /**
   * Throws the refusal of an append that was made before its caller could know of an earlier one, or that would raise a
   * group's waiting events or bytes above the limit. Where nothing waits, any size is admitted. Without a limit, only a
   * full disk refuses.
   */
  #admit({ name, groups }: Target, { seenRefusals, limit }: Append, events: number, bytes: number): void {
    const earlier = this.#session.refusals.get(streamKey(name))
    const isMine = limit !== null || earlier?.last.code !== 'backlogged'
    if (earlier !== undefined && seenRefusals < earlier.generation && isMine) throw earlier.last
    if (limit === null) return
    for (const { row, ledger } of groups) {
      const { waitingEvents, waitingBytes } = ledger
      if (waitingEvents === 0) continue
      if (waitingEvents + events <= limit.maxEvents && waitingBytes + bytes <= limit.maxBytes) continue
      const settledEvents = this.#session.groups.get(row.groupNumber)?.settledEvents ?? 0
      const cause: Backlog = { group: row.name, waitingEvents, waitingBytes, settledEvents }
      throw this.#session.refuse(name, backlogged(name.topic, limit, cause))
    }
  }

  #finish(joiner: EntryJoiner, targets: readonly (Target | MillraceError)[]): void {
    const entries: number[] = []
    const takers = new Map<number, number>()
    for (const target of targets) {
      if (target instanceof MillraceError) continue
      const { stream } = target.stream
      const near = target.groups.filter(({ ledger }) => ledger.waitingBytes <= this.#maxRecentBytes)
      takers.set(stream, near.length)
      for (const { row } of target.groups) this.#session.groups.get(row.groupNumber)?.hot.add(stream)
    }
    let bytes = 0
    for (const { entry, start, length } of joiner.finish()) {
      entries.push(entry.appendNumber, start, length, takers.get(entry.stream)!)
      bytes += length
    }
    this.#entries = entries
    this.#stored = { entries: entries.length / storedFields, bytes }
  }
}

function findTarget(work: UnitOfWork, name: StreamName): Target | MillraceError {
  try {
    const stream = findStream(work, name)
    const groups = work.groupsOf(stream.topicNumber).map((row) => {
      return { row, ledger: work.ledgers.get(row.groupNumber, stream.partition)! }
    })
    return { name, stream, groups }
  } catch (thrown) {
    if (thrown instanceof MillraceError) return thrown
    throw thrown
  }
}
