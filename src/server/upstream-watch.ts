// Asks the server behind a gateway again and again whether it is ready, and reports that to the health and the log.

import type { RemoteServer } from '../client/remote-server.ts'
import { toMillraceError } from '../errors.ts'
import type { Health, Problem } from '../telemetry/health.ts'
import type { Logger } from '../telemetry/logger.ts'

const probeEveryMs = 1000
const maxProbeMs = 5000

export interface UpstreamWatchParts {
  readonly server: RemoteServer
  readonly health: Health
  readonly logger: Logger
}

export class UpstreamWatch {
  readonly #parts: UpstreamWatchParts
  #timer: NodeJS.Timeout | undefined
  #probing: Promise<void> | null = null
  /** What was reported last; undefined before that. */
  #problem: string | null | undefined
  #isClosed = false

  constructor(parts: UpstreamWatchParts) {
    this.#parts = parts
  }

  /** Resolves with the first answer, or when none came, and probes from then on. */
  async start(): Promise<void> {
    await this.#probe()
    this.#timer = setInterval(() => void this.#probe(), probeEveryMs)
    this.#timer.unref()
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
  }

  /** One at a time. */
  #probe(): Promise<void> {
    this.#probing ??= this.#parts.server
      .isServing(maxProbeMs)
      .then(
        (isServing) =>
          isServing ? this.#report(null) : this.#report({ reason: 'unavailable', message: 'the server is not ready' }),
        (thrown: unknown) => {
          const { code, message } = toMillraceError(thrown)
          this.#report({ reason: code, message }, true)
        },
      )
      .finally(() => {
        this.#probing = null
      })
    return this.#probing
  }

  /** @param isAway callers get no answer but that. */
  #report(problem: Problem | null, isAway = false): void {
    const { health, logger } = this.#parts
    if (this.#isClosed) return
    health.report('upstream', problem, isAway)
    const message = problem?.message ?? null
    if (message === this.#problem) return
    const isFirst = this.#problem === undefined
    this.#problem = message
    if (message !== null) logger.warn({ problem: message }, message)
    else if (!isFirst) logger.info('the server answers again')
  }
}
