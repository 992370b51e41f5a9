// Reproducible random choices: every schedule of faults comes from one printed seed.

import type { TestContext } from 'node:test'

/** A random number generator (mulberry32) that returns the same sequence for the same seed. */
export class SeededRandom {
  readonly seed: number
  #state: number

  constructor(seed: number) {
    this.seed = seed
    this.#state = seed >>> 0
  }

  /** From 0 (inclusive) to 1 (exclusive). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }

  /** An integer from `low` to `high`, both inclusive. */
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

/** A generator for this test. Its seed is printed; `TEST_SEED` sets it, to repeat a schedule. */
export function seededRandom(t: TestContext): SeededRandom {
  const given = process.env.TEST_SEED
  const seed = given === undefined ? Math.floor(Math.random() * 0x1_0000_0000) : Number(given)
  t.diagnostic(`seed ${seed}`)
  return new SeededRandom(seed)
}
