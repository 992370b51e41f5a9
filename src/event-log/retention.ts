// Forgets settled entries of the log once their replay margin is over (docs/guarantees.md, G5).

import type { Logger } from '../telemetry/logger.ts'
import type { EventLog } from './event-log.ts'

/** How often the log is looked through for entries to forget. */
const trimEveryMs = 5_000

export interface RetentionOptions {
  readonly eventLog: EventLog
  readonly topics: readonly string[]
  /** Settled entries are kept this long ... */
  readonly retentionMs: number
  /** ... but at most this many bytes of them in each stream. */
  readonly retentionBytes: number
  readonly logger: Logger
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
}

export class Retention {
  readonly #options: RetentionOptions
  readonly #timer: NodeJS.Timeout
  #trimming: Promise<void> | null = null

  constructor(options: RetentionOptions) {
    this.#options = options
    this.#timer = setInterval(() => {
      this.#trimming ??= this.#trimAll().finally(() => {
        this.#trimming = null
      })
    }, trimEveryMs)
    this.#timer.unref()
  }

  /** Begins no more work; resolves when what was begun is done. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#trimming
  }

  async #trimAll(): Promise<void> {
    const { eventLog, topics, retentionMs, retentionBytes, logger, now } = this.#options
    for (const topic of topics) {
      try {
        await eventLog.trim(topic, { keepSinceMs: now() - retentionMs, maxBytes: retentionBytes })
      } catch (error) {
        logger.warn({ topic, error }, 'settled entries could not be removed from the log; tried again later')
      }
    }
  }
}
