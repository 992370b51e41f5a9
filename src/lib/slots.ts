// Limits how many pieces of work run at once; the others wait in the order in which they came.

export class Slots {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(maxAtOnce: number) {
    this.#free = maxAtOnce
  }

  /** Waits for a slot, runs the work in it, and resolves or rejects as the work does. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const release = await this.take()
    try {
      return await work()
    } finally {
      // After a turn of the event loop. The messages of a thread are taken one after the other while there are any, so
      // works that follow each other through a thread would keep the loop from everything else.
      setImmediate(release)
    }
  }

  /** Waits for a slot. The caller must call the returned function exactly once. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return () => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}
