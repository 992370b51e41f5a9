// A delivery whose events are at work: which of them have ended and how, and the outcome that they come to.

import { encodedTraceOf, encodeTraceAttributes, hasOwnTrace, traceOfBatch, withTrace } from '../event/batch-trace.ts'
import { batchOfOne } from '../event/event-edit.ts'
import type { RecordBatch } from '../event/record-batch.ts'
import { EventReader, textOf } from '../event/record-batch.ts'
import type { TraceContext } from '../event/trace-context.ts'
import { type Again, type Consumer, type Delivery, never, type Outcome } from '../event-log/event-log.ts'
import type { ReplyToStore } from '../event-log/replies.ts'
import type { GivenUp } from './dead-letter-event.ts'

const noBytes = new Uint8Array(0)

export class OpenDelivery {
  readonly delivery: Delivery
  readonly consumer: Consumer
  readonly handedOutAtMs: number
  /** The numbers of its events in the delivery times. */
  readonly begun: number[] = []
  readonly givenUp: GivenUp[] = []
  /** The reply, when the delivery is a request. */
  reply: ReplyToStore | undefined
  /** That of the batch. */
  readonly trace: TraceContext | undefined
  readonly #encodedTrace: Uint8Array
  readonly #again: Again[] = []
  /** The events that have not ended: index in the batch → the event as a batch of its own, without the trace. */
  readonly pending = new Map<number, RecordBatch>()

  /** @param isMine whether the handler takes events of this type; the others have ended already. */
  constructor(consumer: Consumer, delivery: Delivery, handedOutAtMs: number, isMine: (type: string) => boolean) {
    this.consumer = consumer
    this.handedOutAtMs = handedOutAtMs
    this.delivery = delivery
    const { batch } = delivery
    const isDamaged = batch.damaged === true
    this.trace = isDamaged ? undefined : traceOfBatch(batch.bytes)
    this.#encodedTrace = this.trace === undefined ? noBytes : encodedTraceOf(batch.bytes)
    if (isDamaged) return
    const { bytes, receivedAtMicros } = batch
    const reader = new EventReader().reset(bytes)
    for (let index = 0; reader.next(); index++) {
      const { fieldStart } = reader
      const { typeStart, typeEnd, end } = reader.fields
      if (!isMine(textOf(bytes, typeStart, typeEnd))) continue
      this.pending.set(index, { bytes: bytes.subarray(fieldStart, end), count: 1, receivedAtMicros })
    }
  }

  /** An event that has not ended, for a worker in another process: with the trace of the batch if it names none. */
  forWorker(index: number): RecordBatch {
    const event = this.pending.get(index)!
    if (this.trace === undefined) return event
    const { bytes } = event
    const reader = new EventReader().reset(bytes)
    reader.next()
    const { fields } = reader
    if (hasOwnTrace(bytes, fields)) return event
    const own = Buffer.concat([bytes.subarray(fields.start, fields.end), encodeTraceAttributes(this.trace)])
    return { ...event, bytes: batchOfOne(own) }
  }

  get hasEnded(): boolean {
    return this.pending.size === 0
  }

  done(index: number): void {
    this.pending.delete(index)
  }

  tryAgain(index: number, next: Pick<Again, 'dueAtMs' | 'isSuspect'>, key?: string): void {
    this.#redeliver(index, { ...next, attempt: this.delivery.attempt, key })
  }

  /** Holds an event until a person releases it. @param attempt how many attempts it is then to have had. */
  hold(index: number, key: string, attempt: number, isSuspect: boolean): void {
    this.#redeliver(index, { attempt, dueAtMs: never, isSuspect: isSuspect && attempt > 0, key })
  }

  /** Returns one event with the attempts of before. What has been tried stays suspect. */
  returnOne(index: number, dueAtMs: number, key?: string): void {
    const { attempt, isSuspect } = this.delivery
    this.#redeliver(index, { attempt: attempt - 1, dueAtMs, isSuspect: isSuspect && attempt > 1, key })
  }

  /** @param attempts how many have begun. */
  giveUp(index: number, attempts: number, { code, message }: Pick<GivenUp, 'code' | 'message'>): void {
    this.givenUp.push({ delivery: { ...this.delivery, attempt: attempts }, index, code, message })
    this.pending.delete(index)
  }

  /** Gives up the batch as a whole, whose events cannot be read. */
  giveUpDamaged(): void {
    const { delivery } = this
    const message = `the entry of ${delivery.batch.count} events does not match its checksum`
    this.givenUp.push({ delivery, index: null, code: 'corrupt', message })
  }

  /**
   * Returns what has not ended, in entries of up to `maxEvents`, due at once and with the attempts of before. What has been
   * tried stays suspect. The position of an entry is that of its first event.
   */
  returnPending(maxEvents: number, dueAtMs: number): void {
    const { attempt, isSuspect, position } = this.delivery
    const again = { attempt: attempt - 1, dueAtMs, isSuspect: isSuspect && attempt > 1 }
    const events = [...this.pending]
    for (let from = 0; from < events.length; from += maxEvents) {
      const part = events.slice(from, from + maxEvents)
      const [firstIndex, first] = part[0]!
      const bytes = Buffer.concat([this.#encodedTrace, ...part.map(([, { bytes }]) => bytes)])
      const batch = { ...first, bytes, count: part.length }
      this.#again.push({ ...again, batch, offset: position.offset + firstIndex })
    }
    this.pending.clear()
  }

  #redeliver(index: number, again: Omit<Again, 'batch' | 'offset'>): void {
    const event = this.pending.get(index)!
    const batch = { ...event, bytes: withTrace(this.#encodedTrace, event.bytes) }
    this.#again.push({ ...again, batch, offset: this.delivery.position.offset + index })
    this.pending.delete(index)
  }

  outcome(): Outcome {
    const { delivery, givenUp } = this
    const dead = givenUp.some(({ index }) => index === null) ? delivery.batch.count : givenUp.length
    const redelivered = this.#again.reduce((sum, { batch }) => sum + batch.count, 0)
    return { delivery, landed: delivery.batch.count - dead - redelivered, dead, again: this.#again, reply: this.reply }
  }
}
