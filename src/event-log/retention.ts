// Removes settled entries from the log once their retention is over (docs/guarantees.md, G5). Until then they can be
// replayed.

import type { Logger } from '../telemetry/logger.ts'
import type { EventLog } from './event-log.ts'

/** How often the log is trimmed. */
const trimEveryMs = 5_000

export interface RetentionOptions {
  readonly eventLog: EventLog
  readonly topics: () => Iterable<string>
  /** Settled entries are removed when they are older than this. */
  readonly retentionMs: number
  /** Max bytes of settled entries that each stream keeps; older ones are removed earlier. */
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

  /** Starts no more trims; resolves when a running one is done. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#trimming
  }

  async #trimAll(): Promise<void> {
    const { eventLog, topics, retentionMs, retentionBytes, logger, now } = this.#options
    for (const topic of topics()) {
      try {
        await eventLog.trim(topic, { keepSinceMs: now() - retentionMs, maxBytes: retentionBytes })
      } catch (error) {
        logger.warn({ topic, error }, 'could not remove settled entries from the log; will retry')
      }
    }
  }
}
