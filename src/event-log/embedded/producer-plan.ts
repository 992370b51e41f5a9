// Plans the changes that one transaction makes to the sequence windows of producers.

import type { ProducerRow } from './log-rows.ts'
import type { ProducerWindow } from './producer-window.ts'
import type { Producer, Producers } from './producers.ts'

interface PlannedWindow {
  readonly stream: number
  readonly window: ProducerWindow
}

export class ProducerPlan {
  readonly #producers: Producers
  readonly #windows = new Map<Producer, PlannedWindow>()
  #surplus: readonly Producer[] = []

  constructor(producers: Producers) {
    this.#producers = producers
  }

  /** Plans to remember a sequence. */
  note(producer: Producer, sequence: number, stream: number): void {
    let planned = this.#windows.get(producer)
    if (planned === undefined) {
      planned = { stream, window: producer.window.copy() }
      this.#windows.set(producer, planned)
    }
    planned.window.add(sequence)
  }

  /** Discards the plan, because the messages will not be stored. */
  drop(): void {
    this.#windows.clear()
  }

  /** The rows to save, the numbers of those to remove, and the resulting number of rows. */
  rows(usedAt: number): { producers: ProducerRow[]; removedProducers: number[]; count: number } {
    const added = this.#added().length
    this.#surplus = this.#producers.surplus(added)
    const producers = Array.from(this.#windows, ([producer, { stream, window }]): ProducerRow => {
      const { number, id, epoch } = producer
      return {
        producerNumber: number,
        stream,
        name: id,
        epoch,
        lastSequence: window.last,
        stored: window.toBytes(),
        usedAt,
      }
    })
    return {
      producers,
      removedProducers: this.#surplus.map((producer) => producer.number),
      count: this.#producers.stored + added - this.#surplus.length,
    }
  }

  committed(): void {
    const added = this.#added()
    for (const [producer, { window }] of this.#windows) producer.window = window
    this.#producers.committed(added, this.#surplus)
  }

  #added(): Producer[] {
    return [...this.#windows.keys()].filter((producer) => !producer.isStored)
  }
}
