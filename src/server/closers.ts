// Closes the parts of a server in the reverse of their start order; all steps share one deadline.

import type { Logger } from '../telemetry/logger.ts'

/** Milliseconds left until the deadline. */
type Remaining = () => number

export class Closers {
  readonly #steps: ((remainingMs: Remaining) => Promise<void>)[] = []

  add(step: (remainingMs: Remaining) => Promise<void>): void {
    this.#steps.unshift(step)
  }

  /** Runs every step once, and logs the ones that fail. Later calls find nothing left to do. */
  async run(logger: Logger, graceMs: number): Promise<void> {
    const deadlineMs = performance.now() + graceMs
    const remainingMs = () => Math.max(0, deadlineMs - performance.now())
    for (const step of this.#steps.splice(0)) {
      await step(remainingMs).catch((error: unknown) =>
        logger.error({ error }, 'a part of the server could not be closed'),
      )
    }
  }
}
