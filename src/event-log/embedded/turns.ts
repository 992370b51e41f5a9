// Lets pieces of work run one after the other.

export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs the work when all that was given before is done. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}
