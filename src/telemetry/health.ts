// Whether the server can do its work: what /readyz, gRPC health and millrace_component_up say.
//
// Job: keep what each part reports, and decide from the required ones. A part that is not required is shown, but its
// failure does not make the server unready: while the store is away events wait in the log.
// Not its job: asking the parts (they report), whether the process turns (/livez).

export interface ComponentHealth {
  readonly name: string
  readonly up: boolean
  readonly detail: string | null
  readonly required: boolean
}

export interface Readiness {
  /** Every required part is up and the server does not drain. */
  readonly ready: boolean
  readonly draining: boolean
  /** Required parts first. */
  readonly components: readonly ComponentHealth[]
}

export class Health {
  readonly #components = new Map<string, ComponentHealth>()
  readonly #listeners = new Set<(readiness: Readiness) => void>()
  #draining = false

  /** @param required parts without which the server is not ready; down until they report. */
  constructor(required: readonly string[]) {
    for (const name of required) {
      this.#components.set(name, { name, up: false, detail: 'starting', required: true })
    }
  }

  get draining(): boolean {
    return this.#draining
  }

  /** Listeners hear of it only when something has changed. */
  setComponent(name: string, up: boolean, detail: string | null = null): void {
    const before = this.#components.get(name)
    if (before?.up === up && before.detail === detail) return
    this.#components.set(name, { name, up, detail, required: before?.required ?? false })
    this.#announce()
  }

  /** The first act of stopping: not ready from here on, for good. Idempotent. */
  startDraining(): void {
    if (this.#draining) return
    this.#draining = true
    this.#announce()
  }

  readiness(): Readiness {
    const components = [...this.#components.values()]
    const ready = !this.#draining && components.every(({ up, required }) => up || !required)
    return { ready, draining: this.#draining, components }
  }

  /** Calls the listener after every change, within the call that made it. Answers a function that ends this. */
  onChange(listener: (readiness: Readiness) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  #announce(): void {
    const readiness = this.readiness()
    for (const listener of [...this.#listeners]) listener(readiness)
  }
}
