// A topic's bell rings when there may be new work, so that idle consumers poll at once. It counts per partition: an
// idle consumer polls only the partitions whose bell rang.

export class Bell<Place> {
  readonly #rungAt = new Map<Place, number>()
  readonly #listeners = new Set<() => void>()
  #rung = 0

  /** How often it has rung. A poll that began at a lower count must be repeated. */
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

  /** Resolves when it rings, after `ms`, or when the signal aborts; at once when `rung` has changed since `heard`. */
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
