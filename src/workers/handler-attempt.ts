// The attempts of a handler, with all that is added to a call of it.

import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { MaybeTracer } from '../telemetry/tracing.ts'
import type { Attempt } from './attempt.ts'
import { type CallParts, callHandler } from './call-handler.ts'
import type { HandlerDefinition } from './define-handler.ts'
import { fileReader } from './file-reader.ts'
import { type LoopWatch, withLoopWatch } from './loop-watch.ts'
import type { Outage } from './pool.ts'
import { HandlerThread } from './thread/handler-thread.ts'
import { withThread } from './thread/with-thread.ts'
import { withMetrics } from './with-metrics.ts'
import { withTimeout } from './with-timeout.ts'
import { withTracing } from './with-tracing.ts'

export interface AttemptParts extends Omit<CallParts, 'file'> {
  /** Where uploaded files are. */
  readonly filesDir: string
  readonly logger: Logger
  readonly metrics: Metrics
  /** Default null. */
  readonly tracer?: MaybeTracer
  /** Shared by all pools of the process. */
  readonly loopWatch: LoopWatch
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
  /** 0 <= random() < 1. */
  readonly random: () => number
}

/** How a handler is called. */
export interface Attempts {
  /** To be called before the first attempt. Errors: `failed_precondition` that says why the handler cannot be called. */
  open(): Promise<void>
  readonly attempt: Attempt
  /** Whether an event is tried again beside an attempt of it that goes on after its time limit. */
  readonly retriesLate: boolean
  /** Why no attempt can begin; null while they can. */
  readonly outage: Outage | null
  /** Ends what is still running, if that is possible. Idempotent. */
  close(): Promise<void>
}

/** @param onRoom called when attempts can begin again, or more at once. */
export function attemptsOf(handler: HandlerDefinition, parts: AttemptParts, onRoom: () => void): Attempts {
  const { timeoutMs, module } = handler
  const limit = { timeoutMs, monotonicNow: parts.monotonicNow }
  if (!handler.isolate) {
    const call = withLoopWatch(
      handler,
      parts.loopWatch,
      callHandler(handler, { ...parts, file: fileReader(parts.filesDir) }),
    )
    const attempt = withTracing(handler, parts, withMetrics(handler, parts, withTimeout(limit, call)))
    return { open: async () => {}, attempt, retriesLate: false, outage: null, close: async () => {} }
  }
  const thread = new HandlerThread({ ...parts, handler, module: module!, onOutageEnd: onRoom })
  const limited = withMetrics(handler, parts, withTimeout(limit, thread.finish))
  return {
    open: () => thread.open(),
    attempt: withTracing(handler, parts, withThread(thread, limited)),
    retriesLate: false,
    get outage() {
      return thread.outage
    },
    close: () => thread.close(),
  }
}
