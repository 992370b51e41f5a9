// What every part of a server gets: the configuration, the clocks, logger, metrics and health.

import type { Config } from '../config/config.ts'
import type { Health } from '../telemetry/health.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { MaybeTracer } from '../telemetry/tracing.ts'

export interface ServerContext {
  readonly config: Config
  readonly version: string
  readonly logger: Logger
  readonly metrics: Metrics
  readonly tracer: MaybeTracer
  readonly health: Health
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}
