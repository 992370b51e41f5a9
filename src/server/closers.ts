// Closes the parts of a server in the reverse of their start order; all steps share one deadline.

import { withinMs } from '../lib/abort.ts'
import type { Logger } from '../telemetry/logger.ts'

/** Milliseconds left until the deadline. */
type Remaining = () => number

/** What a bounded step may take when the deadline has passed. Three of them stay below the grace of cli/start.ts. */
const minStepMs = 300

export class Closers {
  readonly #steps: ((remainingMs: Remaining) => Promise<void>)[] = []

  add(step: (remainingMs: Remaining) => Promise<void>): void {
    this.#steps.unshift(step)
  }

  /**
   * Like `add`, for a step that waits for a server that may be silent. At the deadline it is left to end by itself, or with
   * the process. Not for the step that ends a thread of this process: the exit would wait for the thread.
   */
  addBounded(step: (remainingMs: Remaining) => Promise<unknown>): void {
    this.add(async (remainingMs) => {
      await withinMs(step(remainingMs), Math.max(remainingMs(), minStepMs), null)
    })
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
