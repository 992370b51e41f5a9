// The producers whose messages are numbered, each in one stream, and which of them is forgotten when there are too many.

import { maxProducers, producerWindow } from '../event-log.ts'
import { ProducerWindow } from './producer-window.ts'

/** An append of a numbered message that is not decided yet. A resend waits for its outcome. */
export interface Undecided {
  follow(resolve: () => void, reject: (reason: unknown) => void): void
}

export class Producer {
  readonly number: number
  readonly id: string
  window: ProducerWindow
  /** Whether it has a row: not before its first append is durable. */
  isStored: boolean
  /** The highest sequence that was ever admitted. */
  lastAdmitted: number
  /** By their sequence. */
  readonly undecided = new Map<number, Undecided>()

  constructor(number: number, id: string, window: ProducerWindow, isStored: boolean) {
    this.number = number
    this.id = id
    this.window = window
    this.isStored = isStored
    this.lastAdmitted = window.last
  }

  /** Whether the sequence lies so far back that nobody knows whether it is stored. */
  isTooOld(sequence: number): boolean {
    return sequence <= this.lastAdmitted - producerWindow
  }
}

/** Where the producers of one stream are. */
export interface ProducersOfStream {
  readonly producers: Map<string, Producer>
}

export class Producers {
  /** The longest unused first. */
  readonly #home = new Map<Producer, ProducersOfStream>()
  #lastNumber = 0
  #stored = 0

  /** How many have a row. */
  get stored(): number {
    return this.#stored
  }

  /** Takes up one that was stored before; to be called from the longest unused to the latest used. */
  restore(stream: ProducersOfStream, producer: Producer): void {
    stream.producers.set(producer.id, producer)
    this.#home.set(producer, stream)
    this.#lastNumber = Math.max(this.#lastNumber, producer.number)
    this.#stored++
  }

  /** Finds or makes one, which is the latest used now. */
  use(stream: ProducersOfStream, id: string): Producer {
    let producer = stream.producers.get(id)
    if (producer === undefined) {
      producer = new Producer(++this.#lastNumber, id, new ProducerWindow(), false)
      stream.producers.set(id, producer)
    }
    this.#home.delete(producer)
    this.#home.set(producer, stream)
    return producer
  }

  /** Forgets one of which nothing is stored and nothing is under way. */
  releaseUnused(producer: Producer): void {
    if (producer.isStored || producer.undecided.size > 0) return
    this.#forget(producer)
  }

  /** Which rows must go so that `added` new ones find room. They are the longest unused that have nothing under way. */
  surplus(added: number): Producer[] {
    const surplus: Producer[] = []
    let excess = this.#stored + added - maxProducers
    for (const producer of this.#home.keys()) {
      if (excess <= 0) break
      if (!producer.isStored || producer.undecided.size > 0) continue
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

  #forget(producer: Producer): void {
    this.#home.get(producer)?.producers.delete(producer.id)
    this.#home.delete(producer)
  }
}
