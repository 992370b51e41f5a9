// Rings when something new may be there, so that those who wait look at once and not only at their next look.

export class Bell {
  /** How often it has rung: who looked before it rang looks again. */
  rung = 0
  readonly #listeners = new Set<() => void>()

  ring(): void {
    this.rung++
    for (const listener of [...this.#listeners]) listener()
  }

  /** Resolves when it rings, when the time is over or when the signal aborts; at once when it rang since `heard`. */
  async wait(heard: number, ms: number, signal: AbortSignal): Promise<void> {
    if (heard !== this.rung || signal.aborted || ms <= 0) return
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
