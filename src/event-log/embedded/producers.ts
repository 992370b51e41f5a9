// The producers of numbered messages, one per id and stream in its highest epoch, and which of them are removed when there are too many.

import { maxProducers, producerWindow } from '../event-log.ts'
import { ProducerWindow } from './producer-window.ts'

/** An append of a numbered message that is not decided yet. A resend waits for its outcome. */
export interface Undecided {
  follow(resolve: () => void, reject: (reason: unknown) => void): void
}

export class Producer {
  readonly number: number
  readonly id: string
  readonly epoch: number
  window: ProducerWindow
  /** Whether it has a row, which it gets when its first append is durable. */
  isStored: boolean
  /** The highest sequence ever admitted. */
  lastAdmitted: number
  /** Undecided appends by sequence. */
  readonly undecided = new Map<number, Undecided>()

  constructor(number: number, id: string, epoch: number, window: ProducerWindow, isStored: boolean) {
    this.number = number
    this.id = id
    this.epoch = epoch
    this.window = window
    this.isStored = isStored
    this.lastAdmitted = window.last
  }

  /** Whether the sequence is too old for the log to know whether it is stored. */
  isTooOld(sequence: number): boolean {
    return sequence <= this.lastAdmitted - producerWindow
  }
}

/** The producers of one stream, by id. */
export interface ProducersOfStream {
  readonly producers: Map<string, Producer>
}

export class Producers {
  /** Least recently used first. */
  readonly #home = new Map<Producer, ProducersOfStream>()
  /** Those that began a higher epoch since. */
  readonly #superseded = new Set<Producer>()
  #lastNumber = 0
  #stored = 0

  /** The number of producers that have a row. */
  get stored(): number {
    return this.#stored
  }

  /** Adds a producer that was stored before. To be called in the order from least to most recently used. */
  restore(stream: ProducersOfStream, producer: Producer): void {
    this.#supersede(stream.producers.get(producer.id))
    stream.producers.set(producer.id, producer)
    this.#home.set(producer, stream)
    this.#lastNumber = Math.max(this.#lastNumber, producer.number)
    this.#stored++
  }

  /** Finds or creates a producer and marks it as most recently used. The epoch must not be lower than the known one. */
  use(stream: ProducersOfStream, id: string, epoch: number): Producer {
    let producer = stream.producers.get(id)
    if (producer === undefined || producer.epoch < epoch) {
      this.#supersede(producer)
      producer = new Producer(++this.#lastNumber, id, epoch, new ProducerWindow(), false)
      stream.producers.set(id, producer)
    }
    this.#home.delete(producer)
    this.#home.set(producer, stream)
    return producer
  }

  /** Removes a producer that has no row and no undecided append. */
  releaseUnused(producer: Producer): void {
    if (producer.isStored || producer.undecided.size > 0) return
    this.#forget(producer)
  }

  /** The producers to remove so that `added` new ones fit: the least recently used without undecided appends. */
  surplus(added: number): Producer[] {
    const isRemovable = ({ isStored, undecided }: Producer) => isStored && undecided.size === 0
    const surplus = [...this.#superseded].filter(isRemovable)
    let excess = this.#stored + added - surplus.length - maxProducers
    for (const producer of this.#home.keys()) {
      if (excess <= 0) break
      if (!isRemovable(producer) || this.#superseded.has(producer)) continue
      surplus.push(producer)
      excess--
    }
    return surplus
  }

  /** To be called when the rows are durable. */
  committed(added: readonly Producer[], removed: readonly Producer[]): void {
    for (const producer of added) producer.isStored = true
    this.#stored += added.length
    for (const producer of removed) {
      this.#stored--
      producer.isStored = false
      producer.window = new ProducerWindow()
      this.releaseUnused(producer)
    }
  }

  #supersede(producer: Producer | undefined): void {
    if (producer !== undefined) this.#superseded.add(producer)
  }

  #forget(producer: Producer): void {
    if (!this.#superseded.delete(producer)) this.#home.get(producer)?.producers.delete(producer.id)
    this.#home.delete(producer)
  }
}
