// Rings when something new may be there, so that those who wait look at once. Each partition of a topic has a tone of its
// own: who waits looks only where it rang.

export class Bell<Place> {
  readonly #rungAt = new Map<Place, number>()
  readonly #listeners = new Set<() => void>()
  #rung = 0

  /** How often it has rung: who looked before it rang looks again. */
  get rung(): number {
    return this.#rung
  }

  rungAt(place: Place): number {
    return this.#rungAt.get(place) ?? 0
  }

  ring(place: Place): void {
    this.#rung++
    this.#rungAt.set(place, this.rungAt(place) + 1)
    for (const listener of [...this.#listeners]) listener()
  }

  /** Resolves when it rings, when the time is over or when the signal aborts; at once when it rang since `heard`. */
  async wait(heard: number, ms: number, signal: AbortSignal): Promise<void> {
    if (heard !== this.#rung || signal.aborted || ms <= 0) return
    await new Promise<void>((resolve) => {
      const finish = () => {
        clearTimeout(timer)
        this.#listeners.delete(finish)
        signal.removeEventListener('abort', finish)
        resolve()
      }
      const timer = setTimeout(finish, ms)
      this.#listeners.add(finish)
      signal.addEventListener('abort', finish, { once: true })
    })
  }
}
