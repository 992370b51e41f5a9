// An attempt of a handler, with all that is added to it.

import { type ErrorCode, errorCodes, MillraceError } from '../errors.ts'
import { type EventInput, EventStamper } from '../event/event-input.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Attempt, AttemptEnd, Failed } from './attempt.ts'
import { type AbortReason, type HandlerContext, type HandlerDefinition, maxDelayMs } from './define-handler.ts'
import type { HandledEvent } from './handled-event.ts'
import { type LoopWatch, withLoopWatch } from './loop-watch.ts'
import { encodeEvents, type PublishMessageTo } from './publish-events.ts'
import { withMetrics } from './with-metrics.ts'
import { withTimeout } from './with-timeout.ts'

export interface AttemptParts {
  readonly metrics: Metrics
  /** Of the process. */
  readonly loopWatch: LoopWatch
  readonly publish: PublishMessageTo
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

export function attemptOf(handler: HandlerDefinition, parts: AttemptParts): Attempt {
  const call = withLoopWatch(handler, parts.loopWatch, callHandler(handler, parts))
  return withMetrics(handler, parts, withTimeout(handler.timeoutMs, call))
}

function callHandler({ topic, handle }: HandlerDefinition, { publish, now }: AttemptParts): Attempt {
  const stamper = new EventStamper(now)
  const publishFor =
    (event: HandledEvent, signal: AbortSignal): HandlerContext['publish'] =>
    async (events, options = {}) => {
      if (signal.reason === ('timeout' satisfies AbortReason))
        throw new MillraceError('deadline_exceeded', 'nothing is published after the time limit of the attempt')
      const list: readonly EventInput[] = Array.isArray(events) ? events : [events]
      await publish(options.topic ?? topic, encodeEvents(list, stamper, event))
    }
  return async (event, { attempt, logger, abort: { signal } }) => {
    try {
      return endOf(await handle(event, { attempt, logger, signal, publish: publishFor(event, signal) }))
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
