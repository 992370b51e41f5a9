// What every part of a server is given: the configuration, the clocks, and where it reports to.

import type { Config } from '../config/config.ts'
import type { Health } from '../telemetry/health.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'

export interface ServerContext {
  readonly config: Config
  readonly version: string
  readonly logger: Logger
  readonly metrics: Metrics
  readonly health: Health
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A clock that never goes back, in milliseconds. */
  readonly monotonicNow: () => number
}
