// Random choices that can be made again: every schedule of faults comes from one printed seed.

import type { TestContext } from 'node:test'

/** A generator of random numbers (mulberry32) that gives the same ones for the same seed. */
export class SeededRandom {
  readonly seed: number
  #state: number

  constructor(seed: number) {
    this.seed = seed
    this.#state = seed >>> 0
  }

  /** From 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  pick<T>(values: readonly T[]): T {
    return values[this.between(0, values.length - 1)] as T
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    for (let at = 0; at < length; at++) bytes[at] = this.between(0, 255)
    return bytes
  }
}

/** A generator for this test. Its seed is printed; `TEST_SEED` sets it, to run a schedule again. */
export function seededRandom(t: TestContext): SeededRandom {
  const given = process.env.TEST_SEED
  const seed = given === undefined ? Math.floor(Math.random() * 0x1_0000_0000) : Number(given)
  t.diagnostic(`seed ${seed}`)
  return new SeededRandom(seed)
}
