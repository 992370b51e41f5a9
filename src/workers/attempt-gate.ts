// Lets attempts run side by side, or one of them alone: a readers-writer lock in which a waiting writer goes first. One
// for all handlers of a process, and within it one for each handler that has a thread of its own.

export class AttemptGate {
  readonly #outer: AttemptGate | null
  #shares = 0
  /** Those that run alone, or wait for that. */
  #alone = 0
  #last: Promise<unknown> = Promise.resolve()
  #empty = Promise.withResolvers<void>()
  #open = Promise.withResolvers<void>()
  readonly #listeners = new Set<() => void>()

  /** @param outer what runs in this gate, alone too, has a share of that one. */
  constructor(outer: AttemptGate | null = null) {
    this.#outer = outer
  }

  /**
   * Takes a share, as soon as nothing runs alone or waits for that.
   * @param onCrowded called when an attempt must wait for the share. @returns what gives it back.
   */
  async enter(onCrowded: () => void): Promise<() => void> {
    const leaveOuter = await this.#outer?.enter(onCrowded)
    while (this.#alone > 0) await this.#open.promise
    this.#shares++
    this.#listeners.add(onCrowded)
    return () => {
      this.#listeners.delete(onCrowded)
      this.#leaveThis()
      leaveOuter?.()
    }
  }

  /** Whether something waits to run alone in the outer gate: what runs alone in this one should make way soon. */
  get isCrowded(): boolean {
    return this.#outer !== null && this.#outer.#alone > 0
  }

  /** Takes another share, to be given back by `leave`. The caller has one. */
  share(): void {
    this.#shares++
    this.#outer?.share()
  }

  leave(): void {
    this.#leaveThis()
    this.#outer?.leave()
  }

  #leaveThis(): void {
    if (--this.#shares > 0) return
    this.#empty.resolve()
    this.#empty = Promise.withResolvers()
  }

  /** Runs when there are no shares, and nothing else until it ends. */
  alone<T>(run: () => Promise<T>): Promise<T> {
    this.#alone++
    for (const listener of this.#listeners) listener()
    const result = this.#last.then(() => this.#runAlone(run))
    this.#last = result.catch(() => {})
    return result
  }

  async #runAlone<T>(run: () => Promise<T>): Promise<T> {
    const leaveOuter = await this.#outer?.enter(() => {})
    try {
      while (this.#shares > 0) await this.#empty.promise
      return await run()
    } finally {
      leaveOuter?.()
      if (--this.#alone === 0) {
        this.#open.resolve()
        this.#open = Promise.withResolvers()
      }
    }
  }
}
