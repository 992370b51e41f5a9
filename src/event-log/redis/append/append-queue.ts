// The appends to one partition. One script is in flight at a time; appends that arrive meanwhile go into the next. So
// appends are stored in call order, and a resend never overtakes the original.
//
// A refused append also refuses the later appends to its stream that wait here: their callers could not know of the
// refusal. One that has no limit is not refused for the limit of another. When the reply of a script is lost its outcome
// is unknown, and the waiting appends are not sent.

import type { MillraceError } from '../../../errors.ts'
import type { Lane } from '../../../event/event.ts'
import type { ProducerMessage } from '../../../event/producer-message.ts'
import type { RecordBatch } from '../../../event/record-batch.ts'
import { backlogged } from '../../backlogged.ts'
import { usedForOther } from '../../check-registration.ts'
import { type Appended, type CommitStats, maxProducers, producerWindow, type WaitingLimit } from '../../event-log.ts'
import { fenced, tooOld } from '../../numbered-message.ts'
import type { RequestRegistration } from '../../replies.ts'
import { listOf, numberOf, type Reply, textOf } from '../connection/redis-connection.ts'
import type { BlockedLanes } from '../guard/blocked-lanes.ts'
import { laneNumber, type PartitionKeys } from '../redis-keys.ts'
import type { RedisSession } from '../session/redis-session.ts'
import type { Sessions } from '../session/sessions.ts'
import { checksumOf } from '../stored-batch.ts'
import { backlogOf, blocked, notReplicated, queueFull } from './append-answers.ts'

/** Limits of one append script, which blocks the server while it runs. */
const maxAppendsPerScript = 256
const maxBytesPerScript = 1024 * 1024

/** How often an append asks for the groups' ledgers, which are for the case that Redis loses them. */
const ledgersEveryMs = 1_000

/** Limits of this queue, appends in flight included: it is in this process's memory. */
const maxWaitingAppends = 16_384
const maxWaitingBytes = 64 * 1024 * 1024

interface FirstEvent {
  readonly offset: number
  readonly epoch: number
}

export interface AppendRequest {
  readonly lane: Lane
  readonly batches: readonly RecordBatch[]
  readonly events: number
  readonly bytes: number
  readonly maxWaiting: WaitingLimit | undefined
  readonly producer: ProducerMessage | undefined
  readonly once: RequestRegistration | undefined
  /** Called with the first event, or null when this was a resend. Only the first call of this or of `reject` counts. */
  resolve(first: FirstEvent | null): void
  reject(reason: unknown): void
}

/** What refuses the appends to a lane. */
interface Refusal {
  readonly error: MillraceError
  /** Whether only those with a limit are refused. */
  readonly isOverLimit: boolean
}

function concerns({ isOverLimit }: Refusal, { maxWaiting }: AppendRequest): boolean {
  return !isOverLimit || maxWaiting !== undefined
}

export interface AppendQueueOptions {
  readonly sessions: Sessions
  readonly partition: PartitionKeys
  readonly blockedLanes: BlockedLanes
  /** Called after each script that stored something. */
  readonly onStored: (stats: CommitStats) => void
}

/** The reply of one script. */
interface StoredAppends {
  /** One for each append. */
  readonly answers: readonly Reply[]
  readonly epoch: number
  /** Whether enough replicas have the appends. */
  readonly isReached: boolean
  readonly durationMs: number
}

export class AppendQueue {
  readonly #options: AppendQueueOptions
  #waiting: AppendRequest[] = []
  readonly #refusals = new Map<Lane, Refusal>()
  #sending: Promise<void> | null = null
  /** Totals of what waits or is in flight. */
  readonly #kept = { appends: 0, events: 0, bytes: 0 }
  #doneEvents = 0
  #ledgersDueAtMs = 0

  constructor(options: AppendQueueOptions) {
    this.#options = options
  }

  add(request: AppendRequest): void {
    const refusal = this.#refusals.get(request.lane)
    if (refusal !== undefined && concerns(refusal, request)) {
      request.reject(refusal.error)
      return
    }
    const { appends, events, bytes } = this.#kept
    if (appends > 0 && (appends >= maxWaitingAppends || bytes + request.bytes > maxWaitingBytes)) {
      const cause = { group: '', waitingEvents: events, waitingBytes: bytes, settledEvents: this.#doneEvents }
      this.#refuse(request, { error: queueFull(this.#options.partition.topic, cause), isOverLimit: false })
      return
    }
    this.#waiting.push(request)
    this.#count(request, 1)
    // Deferred, so that appends of the same turn share one script.
    this.#sending ??= Promise.resolve().then(() => this.#sendAll())
  }

  #count({ events, bytes }: AppendRequest, sign: 1 | -1): void {
    this.#kept.appends += sign
    this.#kept.events += sign * events
    this.#kept.bytes += sign * bytes
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const some = this.#takeSome()
      try {
        const stored = await this.#store(some)
        // No await may follow: an append that is made upon an answer must not be refused together with these.
        this.#answer(some, stored.answers, stored)
      } catch (thrown) {
        for (const request of some) request.reject(thrown)
        this.#refuseWaiting(thrown)
      }
      for (const request of some) this.#count(request, -1)
    }
    // Without an await in between: an append that is made upon an answer must start a new run.
    this.#sending = null
  }

  /** When the session is over, nothing was written, and the appends are sent again in the next one. */
  #store(requests: readonly AppendRequest[]): Promise<StoredAppends> {
    const { sessions, partition } = this.#options
    const startedAtMs = performance.now()
    const isLedgerDue = startedAtMs >= this.#ledgersDueAtMs
    const { args, checksums } = argumentsOf(requests, isLedgerDue)
    return sessions.within(async (session) => {
      const { reply, isReached } = await session.store('append', partition, partition.forAppend(), args)
      sessions.refuseIfOver(session)
      const [answers, ...ledgers] = listOf(reply)
      if (listOf(answers).length !== requests.length) throw new Error('append.lua did not return one answer per append')
      // What the replicas do not confirm is unknown: when it is gone after a failover, nothing was lost.
      if (isReached) {
        session.memoryOf(partition).noteLedgers(ledgers)
        if (isLedgerDue) this.#ledgersDueAtMs = startedAtMs + ledgersEveryMs
        this.#noteStored(session, requests, listOf(answers), checksums)
      }
      const durationMs = performance.now() - startedAtMs
      return { answers: listOf(answers), epoch: session.epoch, isReached, durationMs }
    })
  }

  #takeSome(): AppendRequest[] {
    let bytes = 0
    let count = 0
    for (const request of this.#waiting) {
      bytes += request.bytes
      if (count > 0 && (count >= maxAppendsPerScript || bytes > maxBytesPerScript)) break
      count++
    }
    return this.#waiting.splice(0, count)
  }

  /** Notes what was stored, so that a later check can tell whether the server still has it. */
  #noteStored(
    session: RedisSession,
    requests: readonly AppendRequest[],
    answers: readonly Reply[],
    checksums: readonly number[],
  ): void {
    const memory = session.memoryOf(this.#options.partition)
    for (const [index, { lane, events, batches }] of requests.entries()) {
      const [kind, offset] = listOf(answers[index])
      if (textOf(kind) !== 'stored') continue
      const end = numberOf(offset) + events
      const { count } = batches.at(-1)!
      memory.noteEnd(lane, end, { id: `${end - count}-${count}`, checksum: String(checksums[index]) })
    }
  }

  #answer(
    requests: readonly AppendRequest[],
    answers: readonly Reply[],
    { epoch, isReached, durationMs }: StoredAppends,
  ): void {
    const { partition, blockedLanes, onStored } = this.#options
    const stored = { durationMs, entries: 0, bytes: 0 }
    for (const [index, request] of requests.entries()) {
      const [kind, ...facts] = listOf(answers[index])
      switch (textOf(kind)) {
        case 'stored':
          blockedLanes.note(partition, partition.stream(request.lane), '')
          stored.entries += request.batches.length
          stored.bytes += request.bytes
          this.#accept(request, { offset: numberOf(facts[0]), epoch }, isReached)
          break
        case 'duplicate':
          this.#accept(request, null, isReached)
          break
        case 'other':
          request.reject(usedForOther(request.once!.id))
          break
        case 'old':
          request.reject(tooOld(request.producer!))
          break
        case 'fenced':
          request.reject(fenced(request.producer!, numberOf(facts[0])))
          break
        case 'blocked':
          blockedLanes.note(partition, partition.stream(request.lane), textOf(facts[1]))
          this.#refuseLane(request, { error: blocked(partition.stream(request.lane), facts), isOverLimit: false })
          break
        default: {
          const error = backlogged(partition.topic, request.maxWaiting, backlogOf(facts))
          this.#refuseLane(request, { error, isOverLimit: true })
        }
      }
    }
    if (stored.entries > 0) onStored(stored)
    // The waiting appends would each run into the same timeout.
    if (!isReached) this.#refuseWaiting(notReplicated())
  }

  #accept(request: AppendRequest, first: FirstEvent | null, isReached: boolean): void {
    if (isReached) {
      this.#doneEvents += request.events
      request.resolve(first)
    } else {
      request.reject(notReplicated())
    }
  }

  /** Refuses a request, and the later ones to its stream that are made before its caller can know. */
  #refuse(request: AppendRequest, refusal: Refusal): void {
    const { lane } = request
    // One for all is not replaced by one for those with a limit.
    if (this.#refusals.get(lane)?.isOverLimit !== false) this.#refusals.set(lane, refusal)
    // Queued before the rejection, so it runs before any code that awaits the rejected promise.
    queueMicrotask(() => this.#refusals.delete(lane))
    request.reject(refusal.error)
  }

  /** Refuses a request that was sent, and those behind it to its stream. */
  #refuseLane(request: AppendRequest, refusal: Refusal): void {
    this.#refuse(request, refusal)
    this.#refuseWaiting(refusal.error, (other) => other.lane === request.lane && concerns(refusal, other))
  }

  #refuseWaiting(reason: unknown, isConcerned: (request: AppendRequest) => boolean = () => true): void {
    const waiting = this.#waiting
    this.#waiting = waiting.filter((request) => !isConcerned(request))
    for (const request of waiting.filter(isConcerned)) {
      this.#count(request, -1)
      request.reject(reason)
    }
  }
}

/** The arguments of the script, and the checksum of the last batch of each request. */
function argumentsOf(requests: readonly AppendRequest[], isLedgerDue: boolean) {
  const args: (string | number | Uint8Array)[] = [maxProducers, producerWindow, isLedgerDue ? 1 : 0]
  const checksums: number[] = []
  for (const { lane, batches, events, bytes, maxWaiting, producer, once } of requests) {
    args.push(once === undefined ? laneNumber(lane) : 0, batches.length, events, bytes)
    args.push(maxWaiting?.maxEvents ?? '', maxWaiting?.maxBytes ?? '')
    args.push(producer?.id ?? '', producer?.epoch ?? '', producer?.sequence ?? '')
    if (once !== undefined) args.push(once.id, once.fingerprint, Math.ceil(once.ttlMs))
    let checksum = 0
    for (const batch of batches) {
      checksum = checksumOf(batch)
      args.push(batch.count, batch.receivedAtMicros, checksum, batch.bytes)
    }
    checksums.push(checksum)
  }
  return { args, checksums }
}

/** The offset of the first event of each batch. */
export function offsetsOf(batches: readonly RecordBatch[], firstOffset: number): number[] {
  let offset = firstOffset
  return batches.map(({ count }) => {
    const start = offset
    offset += count
    return start
  })
}

export const resend: Appended = Object.freeze({ positions: [], duplicate: true })
