// The readiness of this process, as shown by /readyz, gRPC health, the status and the metrics.
//
// Job: keep the last report of each component. A component that is down makes the process unready; one that is degraded
// is shown with its cause and leaves it ready.
// Not its job: polling the components (they report) and what a failure means for the roles of the process (server/);
// whether the process is alive (/livez).

import type { Cause, ReadinessState } from '../pipeline/readiness.ts'

export type ComponentState = 'up' | 'degraded' | 'down'

export type Problem = Pick<Cause, 'reason' | 'message'>

export interface ComponentHealth {
  readonly name: string
  readonly state: ComponentState
  /** Null when it is up. */
  readonly problem: Problem | null
}

export interface Readiness {
  readonly state: ReadinessState
  readonly draining: boolean
  readonly components: readonly ComponentHealth[]
  /** The problems of the components that are not up. */
  readonly causes: readonly Cause[]
}

export class Health {
  readonly #components = new Map<string, ComponentHealth>()
  readonly #listeners = new Set<(readiness: Readiness) => void>()
  #draining = false

  /** @param required components that are down until they report. */
  constructor(required: readonly string[]) {
    const problem = { reason: 'unavailable', message: 'it is starting' }
    for (const name of required) this.#components.set(name, { name, state: 'down', problem })
  }

  get draining(): boolean {
    return this.#draining
  }

  /** Reports that a component works (without a problem), is degraded, or is down. Listeners are called on a change. */
  report(name: string, problem: Problem | null, isDown = false): void {
    const state = problem === null ? 'up' : isDown ? 'down' : 'degraded'
    const before = this.#components.get(name)
    const isSameProblem = before?.problem?.reason === problem?.reason && before?.problem?.message === problem?.message
    if (before?.state === state && isSameProblem) return
    this.#components.set(name, { name, state, problem })
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
    const causes = components.flatMap(({ name, problem }) =>
      problem === null ? [] : [{ component: name, ...problem }],
    )
    const isUnready = this.#draining || components.some(({ state }) => state === 'down')
    const state = isUnready ? 'unready' : causes.length > 0 ? 'degraded' : 'ready'
    return { state, draining: this.#draining, components, causes }
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
