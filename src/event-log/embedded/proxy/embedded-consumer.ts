// One member of a group, in this process. It needs no heartbeat: it can only die together with the process, and opening
// the log ends all earlier leases.

import { MillraceError } from '../../../errors.ts'
import { lanes } from '../../../event/event.ts'
import type { RecordBatch } from '../../../event/record-batch.ts'
import { checkOutcome } from '../../check-outcome.ts'
import { type Consumer, type Delivery, maxNextBytes, type NextOptions, type Outcome } from '../../event-log.ts'
import type { ReplyToStore } from '../../replies.ts'
import { type Deliveries, deliveryFields, outcomeFields } from '../protocol.ts'
import type { EmbeddedReplies } from './embedded-replies.ts'
import type { LogCalls } from './log-calls.ts'
import { packOf } from './packed-batches.ts'
import type { RecentEntries } from './recent-entries.ts'

export interface EmbeddedConsumerOptions {
  readonly calls: LogCalls
  readonly recent: RecentEntries
  /** The number under which the engine knows it. */
  readonly consumer: number
  readonly topic: string
  readonly epoch: number
  /** Distinguishes the delivery ids of this opening from those of an earlier one. */
  readonly deliveryPrefix: string
  /** Creates the number of a call of `next`. */
  readonly nextCall: () => number
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  readonly replies: EmbeddedReplies
  readonly onClosed: () => void
}

export class EmbeddedConsumer implements Consumer {
  readonly #options: EmbeddedConsumerOptions
  /** Delivery id → its lease and number of events. */
  readonly #held = new Map<string, { readonly lease: number; readonly count: number }>()
  #waiting: { readonly call: number; giveUp(): void } | null = null
  /** Returns what an aborted call was given; later calls wait for it, so that they get the oldest first. */
  #givingBack: Promise<unknown> = Promise.resolve()
  /** Settlements in flight: what they end must not be returned in the same step. */
  readonly #settling = new Set<Promise<unknown>>()
  #closed: Promise<void> | null = null

  constructor(options: EmbeddedConsumerOptions) {
    this.#options = options
  }

  async next(options: NextOptions): Promise<readonly Delivery[]> {
    if (this.#closed !== null) throw new MillraceError('failed_precondition', 'the consumer is closed')
    if (this.#waiting !== null) {
      throw new MillraceError('internal', 'next() was called while an earlier call was waiting')
    }
    const { signal } = options
    if (signal?.aborted === true) return []
    const { calls, nextCall } = this.#options
    const call = nextCall()
    const givenUp = Promise.withResolvers<readonly Delivery[]>()
    const giveUp = () => {
      this.#waiting = null
      givenUp.resolve([])
      calls.ask('abort', call).catch(() => {})
    }
    this.#waiting = { call, giveUp }
    const earlier = this.#givingBack
    const working = earlier.then(() => (this.#waiting?.call === call ? this.#next(call, options) : []))
    this.#givingBack = working.catch(() => {})
    signal?.addEventListener('abort', giveUp, { once: true })
    try {
      return await Promise.race([working, givenUp.promise])
    } finally {
      signal?.removeEventListener('abort', giveUp)
      if (this.#waiting?.call === call) this.#waiting = null
    }
  }

  async settle(outcomes: readonly Outcome[]): Promise<readonly Delivery[]> {
    for (const outcome of outcomes) {
      const held = this.#held.get(outcome.delivery.id)
      if (held !== undefined) checkOutcome(outcome, held.count)
    }
    const { calls, consumer, now } = this.#options
    const numbers = new Float64Array(outcomes.length * outcomeFields)
    const again: RecordBatch[] = []
    const againNumbers: number[] = []
    const keys: string[] = []
    const replies = new Map<number, ReplyToStore>()
    const transfer: ArrayBuffer[] = []
    outcomes.forEach(({ delivery: { id }, landed, dead, again: own = [], reply }, index) => {
      // The engine refuses a lease of 0, and one that is named twice.
      numbers.set([this.#held.get(id)?.lease ?? 0, landed, dead, own.length], index * outcomeFields)
      this.#held.delete(id)
      if (reply !== undefined) {
        const bytes = new Uint8Array(reply.bytes)
        transfer.push(bytes.buffer)
        replies.set(index, { ...reply, bytes })
      }
      for (const { batch, attempt, dueAtMs, isSuspect, offset = -1, key = '' } of own) {
        again.push(batch)
        againNumbers.push(attempt, dueAtMs, isSuspect === true ? 1 : 0, offset)
        keys.push(key)
      }
    })
    const packed = again.length === 0 ? null : { ...packOf(again), numbers: Float64Array.from(againNumbers), keys }
    if (packed !== null) transfer.push(packed.bytes.buffer)
    const call = { consumer, outcomes: numbers, again: packed, replies, nowMs: now() }
    const settling = calls.ask('settle', call, transfer)
    this.#settling.add(settling)
    try {
      const { notHeld, replied } = await settling
      for (const index of replied) this.#options.replies.announce(this.#options.topic, outcomes[index]!.reply!)
      return notHeld.map((index) => outcomes[index]!.delivery)
    } finally {
      this.#settling.delete(settling)
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { calls, consumer, onClosed } = this.#options
    this.#waiting?.giveUp()
    this.#held.clear()
    await Promise.allSettled(this.#settling)
    try {
      await calls.ask('leave', consumer)
    } catch (thrown) {
      // When the log has failed, nothing can be given back: the next opening ends the leases.
      if (!calls.hasFailed) throw thrown
    }
    onClosed()
  }

  async #next(call: number, options: NextOptions): Promise<readonly Delivery[]> {
    const { calls, recent, consumer, now } = this.#options
    const { maxEvents, maxWaitMs, maxBytes = maxNextBytes } = options
    const found = await calls.ask('next', {
      ...{ consumer, call, maxEvents, maxBytes, maxWaitMs },
      ...{ cachedFrom: recent.from, skewMs: now() - Date.now() },
    })
    const deliveries = await this.#unpack(found)
    if (this.#waiting?.call === call) {
      for (const { id, batch } of deliveries) this.#held.set(id, { lease: leaseOf(id), count: batch.count })
      return deliveries
    }
    // The call was given up. A consumer that is closed has returned all its leases.
    const leases = deliveries.map(({ id }) => leaseOf(id))
    if (leases.length > 0 && this.#closed === null) await calls.ask('giveBack', { consumer, leases })
    return []
  }

  async #unpack({ deliveries, bytes }: Deliveries): Promise<Delivery[]> {
    const { recent, calls, epoch, topic, deliveryPrefix } = this.#options
    const unpacked: Delivery[] = []
    const dropped: { readonly index: number; readonly appendNumber: number; readonly count: number }[] = []
    let start = 0
    for (let at = 0; at < deliveries.length; at += deliveryFields) {
      const [lease, partition, lane, offset, count, receivedAtMicros, attempt, appendNumber, length, ...marks] =
        deliveries.subarray(at, at + deliveryFields) as unknown as Fields
      const [damaged, suspect, keyed, first] = marks
      let own = length < 0 ? recent.take(appendNumber) : bytes?.subarray(start, start + length)
      if (own === undefined) {
        dropped.push({ index: unpacked.length, appendNumber, count })
        own = new Uint8Array(0)
      }
      start += Math.max(0, length)
      const stream = { topic, partition, lane: lanes[lane]! }
      const batch = { bytes: own, count, receivedAtMicros, ...(damaged === 1 ? { damaged: true } : {}) }
      const position = { stream, epoch, offset }
      unpacked.push({
        ...{ id: `${deliveryPrefix}-${lease}`, position, batch, attempt },
        ...{ isSuspect: suspect === 1, isKeyed: keyed === 1, isFirstLease: first === 1 },
      })
    }
    if (dropped.length === 0) return unpacked
    const read = await calls.ask(
      'bytes',
      dropped.flatMap(({ appendNumber, count }) => [appendNumber, count]),
    )
    let at = 0
    dropped.forEach(({ index }, row) => {
      const [length, damaged] = [read.entries[row * 2]!, read.entries[row * 2 + 1] === 1]
      const { batch, ...delivery } = unpacked[index]!
      const whole = { ...batch, bytes: read.bytes.subarray(at, at + length), ...(damaged ? { damaged } : {}) }
      unpacked[index] = { ...delivery, batch: whole }
      at += length
    })
    return unpacked
  }
}

/** The numbers of a delivery, in the order of `deliveryFields`. */
type Fields = [number, number, number, number, number, number, number, number, number, number, number, number, number]

function leaseOf(id: string): number {
  return Number(id.slice(id.lastIndexOf('-') + 1))
}
