// Which of a producer's latest sequences are stored: the highest one, and one bit for each sequence of the window below
// it.

import { producerWindow } from '../../event-log.ts'

const words = producerWindow / 32

export class ProducerWindow {
  #last: number
  readonly #bits: Uint32Array

  /** @param stored the bits as returned by `toBytes`. */
  constructor(last = 0, stored: Uint8Array = new Uint8Array(words * 4)) {
    if (stored.length !== words * 4)
      throw new Error(`a producer's window must have ${words * 4} bytes; it has ${stored.length}`)
    this.#last = last
    const bits = new Uint32Array(words)
    new Uint8Array(bits.buffer).set(stored)
    this.#bits = bits
  }

  /** The highest stored sequence; 0 when none is stored. */
  get last(): number {
    return this.#last
  }

  has(sequence: number): boolean {
    if (sequence > this.#last || sequence <= this.#last - producerWindow) return false
    const slot = sequence % producerWindow
    return ((this.#bits[slot >>> 5]! >>> (slot & 31)) & 1) === 1
  }

  /** Adds a sequence, which must not be below the window. */
  add(sequence: number): void {
    if (sequence > this.#last) {
      const from = Math.max(this.#last + 1, sequence - producerWindow + 1)
      for (let passed = from; passed < sequence; passed++) this.#set(passed, false)
      this.#last = sequence
    }
    this.#set(sequence, true)
  }

  toBytes(): Uint8Array {
    return new Uint8Array(this.#bits.buffer.slice(0))
  }

  #set(sequence: number, stored: boolean): void {
    const slot = sequence % producerWindow
    const bit = 1 << (slot & 31)
    if (stored) this.#bits[slot >>> 5]! |= bit
    else this.#bits[slot >>> 5]! &= ~bit
  }
}
