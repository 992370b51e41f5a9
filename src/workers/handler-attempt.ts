// An attempt of a handler, with all that is added to it.

import { type ErrorCode, errorCodes } from '../errors.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Attempt, AttemptEnd, Failed } from './attempt.ts'
import { type HandlerDefinition, maxDelayMs } from './define-handler.ts'
import { type LoopWatch, withLoopWatch } from './loop-watch.ts'
import { withMetrics } from './with-metrics.ts'
import { withTimeout } from './with-timeout.ts'

export interface AttemptParts {
  readonly metrics: Metrics
  /** Of the process. */
  readonly loopWatch: LoopWatch
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

export function attemptOf(handler: HandlerDefinition, parts: AttemptParts): Attempt {
  const call = withLoopWatch(handler, parts.loopWatch, callHandler(handler))
  return withMetrics(handler, parts, withTimeout(handler.timeoutMs, call))
}

function callHandler({ handle }: HandlerDefinition): Attempt {
  return async (event, { attempt, logger, abort: { signal } }) => {
    try {
      return endOf(await handle(event, { attempt, logger, signal }))
    } catch (thrown) {
      return failed(codeOf(thrown), textOfThrown(thrown))
    }
  }
}

/** What a handler returned is any value: it may be JavaScript. */
function endOf(returned: unknown): AttemptEnd {
  if (returned === undefined) return { is: 'done' }
  const { ended, reason, afterMs } = (returned ?? {}) as Readonly<Record<'ended' | 'reason' | 'afterMs', unknown>>
  if (ended === 'dead') return { is: 'dead', code: 'invalid_event', message: textOfThrown(reason) }
  if (ended === 'retry' && isDelay(afterMs)) {
    const message = 'the handler asked for another attempt'
    return { is: 'failed', code: 'unavailable', message, afterMs, wasAsked: true }
  }
  if (ended === 'retry')
    return failed('internal', `retry({ afterMs }) takes 0 to ${maxDelayMs} ms; it was ${textOfThrown(afterMs)}`)
  return failed(
    'internal',
    `the handler returned ${returned === null ? 'null' : typeof returned}; it must return nothing, retry() or dead(reason)`,
  )
}

function isDelay(afterMs: unknown): afterMs is number | null {
  return afterMs === null || (typeof afterMs === 'number' && afterMs >= 0 && afterMs <= maxDelayMs)
}

/** The code of a MillraceError, also of one that another copy of this package has thrown. */
function codeOf(thrown: unknown): ErrorCode {
  const code = thrown instanceof Error && thrown.name === 'MillraceError' && 'code' in thrown ? thrown.code : ''
  return Object.hasOwn(errorCodes, String(code)) ? (code as ErrorCode) : 'internal'
}

/** Never throws, whatever was thrown. */
function textOfThrown(thrown: unknown): string {
  try {
    if (!(thrown instanceof Error)) return String(thrown)
    return thrown.name === 'MillraceError' ? thrown.message : `${thrown.name}: ${thrown.message}`
  } catch {
    return 'a value that has no text'
  }
}

function failed(code: ErrorCode, message: string): Failed {
  return { is: 'failed', code, message, afterMs: null }
}
