// What is appended to one partition: one script is under way at a time, and what arrives meanwhile goes into the next. So
// calls are taken in the order in which they are made, and a resend never overtakes what it repeats.
//
// A refusal is the answer, too, to the later calls for that stream that are waiting here: they were made before their
// caller could know. When the answer of a script is lost, nobody knows what it did; what waits is then not sent either.

import { MillraceError } from '../../errors.ts'
import type { Lane } from '../../event/event.ts'
import type { RecordBatch } from '../../event/record-batch.ts'
import {
  type Appended,
  type Backlog,
  type CommitStats,
  maxProducers,
  producerWindow,
  type WaitingLimit,
} from '../event-log.ts'
import type { Epochs } from './epochs.ts'
import { listOf, numberOf, type Reply, textOf } from './redis-connection.ts'
import { laneNumber, type PartitionKeys } from './redis-keys.ts'
import { checksumOf } from './stored-batch.ts'

/** What one script takes: the server does nothing else while it runs. */
const maxAppendsPerScript = 256
const maxBytesPerScript = 1024 * 1024

/** What waits here at most, what is under way included: it is in this process's memory. */
const maxWaitingAppends = 16_384
const maxWaitingBytes = 64 * 1024 * 1024

export interface AppendRequest {
  readonly lane: Lane
  readonly batches: readonly RecordBatch[]
  readonly events: number
  readonly bytes: number
  readonly maxWaiting: WaitingLimit | undefined
  readonly producer: { readonly id: string; readonly sequence: number } | undefined
  /** Answers with the offset of the first event and its epoch, or null when this was a resend. */
  resolve(first: { readonly offset: number; readonly epoch: number } | null): void
  reject(reason: unknown): void
}

export interface AppendQueueOptions {
  readonly epochs: Epochs
  readonly topic: string
  readonly keys: PartitionKeys
  /** Resolves when an append may be sent, else says why none may. */
  readonly mayAppend: () => Promise<void>
  /** Called when something was stored. */
  readonly onStored: (stats: CommitStats) => void
}

export class AppendQueue {
  readonly #options: AppendQueueOptions
  #waiting: AppendRequest[] = []
  readonly #refusals = new Map<Lane, MillraceError>()
  #sending: Promise<void> | null = null
  /** What waits or is under way. */
  readonly #kept = { appends: 0, events: 0, bytes: 0 }
  #doneEvents = 0

  constructor(options: AppendQueueOptions) {
    this.#options = options
  }

  add(request: AppendRequest): void {
    const refusal = this.#refusals.get(request.lane)
    if (refusal !== undefined) {
      request.reject(refusal)
      return
    }
    const { appends, bytes } = this.#kept
    if (appends > 0 && (appends >= maxWaitingAppends || bytes + request.bytes > maxWaitingBytes)) {
      this.#refuseLast(request)
      return
    }
    this.#waiting.push(this.#keep(request))
    // Not at once: what is appended in the same turn goes into the same script.
    this.#sending ??= Promise.resolve().then(() => this.#sendAll())
  }

  /** Counts a request until it is answered, which happens once. */
  #keep(request: AppendRequest): AppendRequest {
    const { events, bytes } = request
    const count = (sign: 1 | -1) => {
      this.#kept.appends += sign
      this.#kept.events += sign * events
      this.#kept.bytes += sign * bytes
    }
    let isAnswered = false
    count(1)
    return {
      ...request,
      resolve: (first) => {
        if (isAnswered) return
        isAnswered = true
        count(-1)
        this.#doneEvents += events
        request.resolve(first)
      },
      reject: (reason) => {
        if (isAnswered) return
        isAnswered = true
        count(-1)
        request.reject(reason)
      },
    }
  }

  /** Refuses the last call for its stream, for which there is no room here; what was taken before it goes on. */
  #refuseLast(request: AppendRequest): void {
    const { lane } = request
    const { events, bytes } = this.#kept
    const cause: Backlog = {
      group: '',
      waitingEvents: events,
      waitingBytes: bytes,
      settledEvents: this.#doneEvents,
    }
    const refusal = new MillraceError(
      'backlogged',
      `${events} events of ${bytes} bytes wait to be stored in topic "${this.#options.topic}", more than are kept`,
      { cause },
    )
    this.#refusals.set(lane, refusal)
    queueMicrotask(() => this.#refusals.delete(lane))
    request.reject(refusal)
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const some = this.#takeSome()
      try {
        const { epochs, keys, mayAppend } = this.#options
        await mayAppend()
        const startedAtMs = performance.now()
        const { args, checksums } = argumentsOf(some)
        const stored = await epochs.goOn(async (epoch) => {
          const { reply, isReached } = await epochs.runDurably(epoch, 'append', keys, keys.forAppend(), args)
          const answers = listOf(reply)
          if (answers.length !== some.length) throw new Error('the script did not answer each append')
          this.#noteStored(some, answers, checksums, epoch)
          return { answers, epoch, isReached }
        })
        // Nothing waits between this and a failure of it: what is appended upon an answer is not refused with the rest.
        this.#answer(some, stored.answers, { ...stored, durationMs: performance.now() - startedAtMs })
      } catch (thrown) {
        this.#refuseAll(some, thrown)
      }
    }
    // In this turn still: whoever appends when it has its answer begins anew.
    this.#sending = null
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

  /** What was stored says later whether the server still knows it. */
  #noteStored(
    requests: readonly AppendRequest[],
    answers: readonly Reply[],
    checksums: readonly number[],
    epoch: number,
  ): void {
    const { epochs, keys } = this.#options
    for (const [index, { lane, events, batches }] of requests.entries()) {
      const [kind, offset] = listOf(answers[index])
      if (textOf(kind) !== 'stored') continue
      const end = numberOf(offset) + events
      const { count } = batches.at(-1)!
      epochs.note(epoch, keys, lane, end, { id: `${end - count}-${count}`, checksum: String(checksums[index]) })
    }
  }

  #answer(
    requests: readonly AppendRequest[],
    answers: readonly Reply[],
    {
      epoch,
      isReached,
      durationMs,
    }: { readonly epoch: number; readonly isReached: boolean; readonly durationMs: number },
  ): void {
    const stored = { durationMs, entries: 0, bytes: 0 }
    for (const [index, request] of requests.entries()) {
      const [kind, ...facts] = listOf(answers[index])
      switch (textOf(kind)) {
        case 'stored':
          stored.entries += request.batches.length
          stored.bytes += request.bytes
          if (isReached) request.resolve({ offset: numberOf(facts[0]), epoch })
          else request.reject(notReplicated())
          break
        case 'duplicate':
          if (isReached) request.resolve(null)
          else request.reject(notReplicated())
          break
        case 'old':
          request.reject(tooOld(request))
          break
        default:
          this.#refuse(request, backlogged(this.#options.topic, request, facts))
      }
    }
    if (stored.entries > 0) this.#options.onStored(stored)
    // Those would wait as long, one after the other.
    if (!isReached) this.#refuseAll([], notReplicated())
  }

  /** Refuses a call, and with it those for its stream that are made before its caller can know. */
  #refuse(request: AppendRequest, refusal: MillraceError): void {
    const { lane } = request
    if (this.#refusals.has(lane)) {
      request.reject(refusal)
      return
    }
    this.#refusals.set(lane, refusal)
    // Runs before anything that waits for the rejected promise, for it is in the queue first.
    queueMicrotask(() => this.#refusals.delete(lane))
    request.reject(refusal)
    const isHere = (other: AppendRequest) => other.lane === lane
    for (const other of this.#waiting.filter(isHere)) other.reject(refusal)
    this.#waiting = this.#waiting.filter((other) => !isHere(other))
  }

  #refuseAll(requests: readonly AppendRequest[], reason: unknown): void {
    const later = this.#waiting
    this.#waiting = []
    for (const request of [...requests, ...later]) request.reject(reason)
  }
}

/** The arguments of the script, and the checksum of the last batch of each request. */
function argumentsOf(requests: readonly AppendRequest[]) {
  const args: (string | number | Uint8Array)[] = [maxProducers, producerWindow]
  const checksums: number[] = []
  for (const { lane, batches, events, bytes, maxWaiting, producer } of requests) {
    args.push(laneNumber(lane), batches.length, events, bytes)
    args.push(maxWaiting?.maxEvents ?? '', maxWaiting?.maxBytes ?? '', producer?.id ?? '', producer?.sequence ?? '')
    let checksum = 0
    for (const batch of batches) {
      checksum = checksumOf(batch)
      args.push(batch.count, batch.receivedAtMicros, checksum, batch.bytes)
    }
    checksums.push(checksum)
  }
  return { args, checksums }
}

function tooOld({ producer }: AppendRequest): MillraceError {
  return new MillraceError(
    'out_of_range',
    `sequence ${producer?.sequence} of producer "${producer?.id}" lies more than ${producerWindow} behind its latest: nobody knows whether it is stored`,
    { field: 'sequence' },
  )
}

/** It is in the log, but whoever takes over from this master may not have it. */
function notReplicated(): MillraceError {
  return new MillraceError('unavailable', 'too few replicas of Redis had the append in time; the outcome is unknown')
}

function backlogged(topic: string, { maxWaiting }: AppendRequest, facts: readonly Reply[]): MillraceError {
  const cause: Backlog = {
    group: textOf(facts[0]),
    waitingEvents: numberOf(facts[1]),
    waitingBytes: numberOf(facts[2]),
    settledEvents: numberOf(facts[3]),
  }
  return new MillraceError(
    'backlogged',
    `${cause.waitingEvents} events of ${cause.waitingBytes} bytes wait for group "${cause.group}" of topic "${topic}"; ` +
      `${maxWaiting?.maxEvents} events or ${maxWaiting?.maxBytes} bytes may`,
    { cause },
  )
}

/** Where the batches of an append stand. */
export function offsetsOf(batches: readonly RecordBatch[], firstOffset: number): number[] {
  let offset = firstOffset
  return batches.map(({ count }) => {
    const start = offset
    offset += count
    return start
  })
}

export const resend: Appended = Object.freeze({ positions: [], duplicate: true })
