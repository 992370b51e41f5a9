// Runs async work one piece at a time, in the order of the calls.

export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs the work when all earlier work is done. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}
