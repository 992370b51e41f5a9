// The memory that compressed bodies and messages may take in this process, all together: what their decoders need, and what is
// inflated and not answered yet. A small body can ask for much, so what comes beyond is refused and told to come again.

import { MillraceError } from '../errors.ts'

/** Limit for all connections together. Enough for 32 bodies at once in the encoding with the largest window, for thousands in gzip. */
export const maxInflatedBytes = 512 * 1024 * 1024

const retryAfterMs = 1000

export class InflateBudget {
  readonly #maxBytes: number
  #bytes = 0

  constructor(maxBytes = maxInflatedBytes) {
    this.#maxBytes = maxBytes
  }

  /** What is taken now. */
  get bytes(): number {
    return this.#bytes
  }

  /** Throws `backlogged` when there is no room. */
  take(bytes: number): void {
    if (this.#bytes + bytes > this.#maxBytes) {
      const text = `compressed bodies take the ${this.#maxBytes} bytes that they may have in this process: try again later, or send it uncompressed`
      throw new MillraceError('backlogged', text, { retryAfterMs })
    }
    this.#bytes += bytes
  }

  release(bytes: number): void {
    this.#bytes -= bytes
  }
}

/** What one call has taken of the budget; given back at its end. */
export class InflateShare {
  readonly #budget: InflateBudget
  #bytes = 0

  constructor(budget: InflateBudget) {
    this.#budget = budget
  }

  /** Throws `backlogged`. */
  take(bytes: number): void {
    this.#budget.take(bytes)
    this.#bytes += bytes
  }

  /** Gives back so many bytes, or all. */
  release(bytes = this.#bytes): void {
    this.#budget.release(bytes)
    this.#bytes -= bytes
  }
}
