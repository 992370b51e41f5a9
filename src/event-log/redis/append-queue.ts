// What is appended to one partition: one script is under way at a time, and what arrives meanwhile goes into the next. So
// calls are taken in the order in which they are made, and a resend never overtakes what it repeats.
//
// A refusal is the answer, too, to the later calls for that stream that are waiting here: they were made before their
// caller could know. When the answer of a script is lost, nobody knows what it did; what waits is then not sent either.

import { MillraceError } from '../../errors.ts'
import type { Lane } from '../../event.ts'
import type { RecordBatch } from '../../record-batch.ts'
import {
  type Appended,
  type Backlog,
  type CommitStats,
  maxProducers,
  producerWindow,
  type WaitingLimit,
} from '../event-log.ts'
import { listOf, numberOf, type RedisConnection, type Reply, textOf } from './redis-connection.ts'
import { laneNumber, type PartitionKeys } from './redis-keys.ts'
import { checksumOf } from './stored-batch.ts'

/** What one script takes: the server does nothing else while it runs. */
const maxAppendsPerScript = 256
const maxBytesPerScript = 1024 * 1024

export interface AppendRequest {
  readonly lane: Lane
  readonly batches: readonly RecordBatch[]
  readonly events: number
  readonly bytes: number
  readonly maxWaiting: WaitingLimit | undefined
  readonly producer: { readonly id: string; readonly sequence: number } | undefined
  /** Answers with the offset of the first event, or null when this was a resend. */
  resolve(firstOffset: number | null): void
  reject(reason: unknown): void
}

export interface AppendQueueOptions {
  readonly connection: RedisConnection
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

  constructor(options: AppendQueueOptions) {
    this.#options = options
  }

  add(request: AppendRequest): void {
    const refusal = this.#refusals.get(request.lane)
    if (refusal !== undefined) {
      request.reject(refusal)
      return
    }
    this.#waiting.push(request)
    // Not at once: what is appended in the same turn goes into the same script.
    this.#sending ??= Promise.resolve().then(() => this.#sendAll())
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const some = this.#takeSome()
      try {
        const { connection, keys, mayAppend } = this.#options
        await mayAppend()
        const startedAtMs = performance.now()
        const { reply, isReached } = await connection.runDurably('append', keys.forAppend(), argumentsOf(some))
        const answers = listOf(reply)
        if (answers.length !== some.length) throw new Error('the script did not answer each append')
        this.#answer(some, answers, isReached, performance.now() - startedAtMs)
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

  #answer(requests: readonly AppendRequest[], answers: readonly Reply[], isReached: boolean, durationMs: number): void {
    const stored = { durationMs, entries: 0, bytes: 0 }
    for (const [index, request] of requests.entries()) {
      const [kind, ...facts] = listOf(answers[index])
      switch (textOf(kind)) {
        case 'stored':
          stored.entries += request.batches.length
          stored.bytes += request.bytes
          if (isReached) request.resolve(numberOf(facts[0]))
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

function argumentsOf(requests: readonly AppendRequest[]): (string | number | Uint8Array)[] {
  const args: (string | number | Uint8Array)[] = [maxProducers, producerWindow]
  for (const { lane, batches, events, bytes, maxWaiting, producer } of requests) {
    args.push(laneNumber(lane), batches.length, events, bytes)
    args.push(maxWaiting?.maxEvents ?? '', maxWaiting?.maxBytes ?? '', producer?.id ?? '', producer?.sequence ?? '')
    for (const batch of batches) args.push(batch.count, batch.receivedAtMicros, checksumOf(batch), batch.bytes)
  }
  return args
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
