// SIGINT and SIGTERM for commands that finish work in flight first.

const finishWithinMs = 2000

/** Listens until `close()`. The first signal stops new work; work in flight has 2 s, or until a second signal. */
export class Interruption {
  readonly #stop = new AbortController()
  readonly #deadline = new AbortController()
  #received: NodeJS.Signals | null = null
  #timer: NodeJS.Timeout | undefined

  constructor() {
    process.on('SIGINT', this.#onSignal)
    process.on('SIGTERM', this.#onSignal)
  }

  /** Aborts at the first signal. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** Aborts 2 s after the first signal, or at the second. */
  get deadline(): AbortSignal {
    return this.#deadline.signal
  }

  get received(): NodeJS.Signals | null {
    return this.#received
  }

  close(): void {
    clearTimeout(this.#timer)
    process.off('SIGINT', this.#onSignal)
    process.off('SIGTERM', this.#onSignal)
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    if (this.#received === null) {
      this.#received = signal
      this.#stop.abort()
      this.#timer = setTimeout(() => this.#deadline.abort(), finishWithinMs)
    } else this.#deadline.abort()
  }
}
