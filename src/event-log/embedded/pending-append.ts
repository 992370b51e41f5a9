// One call of `EventLog.append` from its admission to its outcome.

import type { RecordBatch } from '../../event/record-batch.ts'
import type { Appended, Position } from '../event-log.ts'
import type { PartitionState } from './log-state.ts'
import type { Producer, Undecided } from './producers.ts'
import type { StreamState } from './stream-state.ts'

export interface NumberedMessage {
  readonly producer: Producer
  readonly sequence: number
}

export interface PendingAppendOptions {
  readonly partition: PartitionState
  readonly stream: StreamState
  readonly batches: readonly RecordBatch[]
  readonly events: number
  readonly bytes: number
  readonly message: NumberedMessage | null
  readonly resolve: (appended: Appended) => void
  readonly reject: (reason: unknown) => void
}

export class PendingAppend implements Undecided {
  readonly partition: PartitionState
  readonly stream: StreamState
  readonly batches: readonly RecordBatch[]
  readonly events: number
  readonly bytes: number
  readonly message: NumberedMessage | null
  /** The offset that each batch will have. */
  readonly offsets: number[] = []
  readonly #resolve: (appended: Appended) => void
  readonly #reject: (reason: unknown) => void
  #followers: { resolve: () => void; reject: (reason: unknown) => void }[] | null = null

  /** From here on the append counts as waiting. */
  constructor(options: PendingAppendOptions) {
    this.partition = options.partition
    this.stream = options.stream
    this.batches = options.batches
    this.events = options.events
    this.bytes = options.bytes
    this.message = options.message
    this.#resolve = options.resolve
    this.#reject = options.reject
    this.partition.reservedEvents += this.events
    this.partition.reservedBytes += this.bytes
    if (this.message !== null) {
      const { producer, sequence } = this.message
      producer.undecided.set(sequence, this)
      producer.lastAdmitted = Math.max(producer.lastAdmitted, sequence)
    }
  }

  /** Adds a resend of the same message, which gets the same outcome. */
  follow(resolve: () => void, reject: (reason: unknown) => void): void {
    this.#followers ??= []
    this.#followers.push({ resolve, reject })
  }

  /** Resolves the append: it is durable. */
  accept(epoch: number): void {
    this.#decide()
    const { name } = this.stream
    const positions = this.offsets.map((offset): Position => ({ stream: name, epoch, offset }))
    this.#resolve({ positions, duplicate: false })
    for (const follower of this.#followers ?? []) follower.resolve()
  }

  refuse(reason: unknown): void {
    this.#decide()
    this.#reject(reason)
    for (const follower of this.#followers ?? []) follower.reject(reason)
  }

  #decide(): void {
    this.partition.reservedEvents -= this.events
    this.partition.reservedBytes -= this.bytes
    this.message?.producer.undecided.delete(this.message.sequence)
  }
}
