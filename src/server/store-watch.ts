// Asks the store again and again whether it answers, and reports that to the health and the log. When it answers after
// an outage, it may be another copy: its warnings and its differences from the log are logged again.
//
// A store that is away does not make the process unready: events are accepted and wait in the log.

import { withinMs } from '../lib/abort.ts'
import type { EventStore, StoreDescription } from '../store/event-store.ts'
import type { Health } from '../telemetry/health.ts'
import type { Logger } from '../telemetry/logger.ts'

const probeEveryMs = 1000

/** The store is up when it has answered within this time. */
export const maxStoreSilenceMs = 5000

export interface StoreWatchParts {
  readonly store: EventStore
  readonly health: Health
  readonly logger: Logger
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
  /** Finds what the log should say when the database answers for the first time or after an outage. Never rejects. */
  readonly findDifferences: () => Promise<string[]>
}

export class StoreWatch {
  readonly #parts: StoreWatchParts
  #timer: NodeJS.Timeout | undefined
  #last: StoreDescription | null = null
  /** The problem that was reported last. */
  #problem: string | null = null
  #answeredAtMs = Number.NEGATIVE_INFINITY
  #probing: Promise<void> | null = null
  #warned: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(parts: StoreWatchParts) {
    this.#parts = parts
  }

  /** Resolves with the first answer, after its warnings are logged, and probes from then on. */
  async start(): Promise<StoreDescription> {
    await this.#probe()
    this.#report()
    this.#timer = setInterval(() => {
      void withinMs(this.#probe(), probeEveryMs, null).then(() => this.#report())
    }, probeEveryMs)
    this.#timer.unref()
    await this.#warned
    return this.#last!
  }

  get isUp(): boolean {
    return this.#parts.monotonicNow() - this.#answeredAtMs <= maxStoreSilenceMs
  }

  /** Does not wait for a probe: a database that hangs would delay the stop. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
  }

  /** One at a time, so that they do not pile up at a database that hangs. */
  #probe(): Promise<void> {
    const { store, monotonicNow } = this.#parts
    this.#probing ??= store.describe().then((description) => {
      const isBack = description.up && this.#last?.up !== true
      this.#last = description
      if (description.up) this.#answeredAtMs = monotonicNow()
      if (isBack && !this.#isClosed) this.#warned = this.#warned.then(() => this.#warn(description))
      this.#probing = null
    })
    return this.#probing
  }

  async #warn({ driver, warnings }: StoreDescription): Promise<void> {
    const { logger, findDifferences } = this.#parts
    const differences = await findDifferences()
    if (this.#isClosed) return
    for (const warning of [...warnings, ...differences]) logger.warn({ store: driver }, warning)
  }

  #report(): void {
    const { health, logger } = this.#parts
    if (this.#isClosed || this.#last === null) return
    const { driver, up, code } = this.#last
    const isSilent = up && !this.isUp
    // A single probe that fails says little.
    if (code === 'unavailable' && this.isUp) return
    const problem = isSilent ? `${driver} has not answered for ${maxStoreSilenceMs / 1000} s` : this.#last.problem
    const reason = isSilent || code === null ? 'unavailable' : code
    health.report('store', problem === null ? null : { reason, message: problem })
    if (problem === this.#problem) return
    this.#problem = problem
    if (problem === null) {
      logger.info({ store: driver }, `${driver} is ready again`)
    } else {
      const end = reason === 'unavailable' ? 'the database answers' : 'this is repaired'
      logger.warn({ store: driver, problem }, `${problem}: events are accepted now and land once ${end}`)
    }
  }
}
