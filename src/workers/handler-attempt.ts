// An attempt of a handler, with all that is added to it.

import { type ErrorCode, MillraceError } from '../errors.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Attempt, Failed } from './attempt.ts'
import type { HandlerDefinition } from './define-handler.ts'
import { withMetrics } from './with-metrics.ts'
import { withTimeout } from './with-timeout.ts'

export function attemptOf(
  handler: HandlerDefinition,
  parts: { readonly metrics: Metrics; readonly monotonicNow: () => number },
): Attempt {
  return withMetrics(handler, parts, withTimeout(handler.timeoutMs, callHandler(handler)))
}

function callHandler({ handle }: HandlerDefinition): Attempt {
  return async (event, context) => {
    try {
      const ended = await handle(event, context)
      if (ended === undefined) return { is: 'done' }
      if (ended.ended === 'dead') return { is: 'dead', code: 'invalid_event', message: String(ended.reason) }
      if (ended.ended === 'retry') {
        const message = 'the handler asked for another attempt'
        return { is: 'failed', code: 'unavailable', message, afterMs: ended.afterMs, wasAsked: true }
      }
      return failed('internal', `the handler returned ${typeof ended}; it must return nothing, retry() or dead(reason)`)
    } catch (thrown) {
      if (thrown instanceof MillraceError) return failed(thrown.code, thrown.message)
      return failed('internal', thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown))
    }
  }
}

function failed(code: ErrorCode, message: string): Failed {
  return { is: 'failed', code, message, afterMs: null }
}
