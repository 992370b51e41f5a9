// The readiness of the server, as shown by /readyz, gRPC health and millrace_component_up.
//
// Job: keep the last report of each component. The server is ready when all required components are up. The failure of
// another one is shown but does not make the server unready: while the store is down, events wait in the log.
// Not its job: polling the components (they report), whether the process is alive (/livez).

export interface ComponentHealth {
  readonly name: string
  readonly up: boolean
  readonly detail: string | null
  readonly required: boolean
}

export interface Readiness {
  /** Every required component is up and the server is not draining. */
  readonly ready: boolean
  readonly draining: boolean
  /** Required components first. */
  readonly components: readonly ComponentHealth[]
}

export class Health {
  readonly #components = new Map<string, ComponentHealth>()
  readonly #listeners = new Set<(readiness: Readiness) => void>()
  #draining = false

  /** @param required components without which the server is not ready; down until they report. */
  constructor(required: readonly string[]) {
    for (const name of required) {
      this.#components.set(name, { name, up: false, detail: 'starting', required: true })
    }
  }

  get draining(): boolean {
    return this.#draining
  }

  /** Listeners are called only if the state or the detail has changed. */
  setComponent(name: string, up: boolean, detail: string | null = null): void {
    const before = this.#components.get(name)
    if (before?.up === up && before.detail === detail) return
    this.#components.set(name, { name, up, detail, required: before?.required ?? false })
    this.#announce()
  }

  /** The first step of a shutdown: the server is never ready again. Idempotent. */
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

  /** Calls the listener synchronously after every change. Returns a function that unsubscribes it. */
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
