// Calls the function of a handler, in the process or in a thread of its own, and turns whatever it returns or throws
// into an end for each event: it may be JavaScript.

import { type ErrorCode, errorCodes } from '../errors.ts'
import { defaultTopic, limits } from '../event/event.ts'
import { type EventInput, EventStamper } from '../event/event-input.ts'
import { maxRequestBytes, payloadOf } from '../event/request.ts'
import { type TraceContext, traceContextOf } from '../event/trace-context.ts'
import type { LogMethod } from '../telemetry/logger.ts'
import type { AttemptEnd, Failed, LimitedAttempt, LimitedContext } from './attempt.ts'
import type { AttemptAbort } from './attempt-abort.ts'
import { type HandlerContext, type HandlerDefinition, maxDelayMs } from './define-handler.ts'
import type { HandledEvent } from './handled-event.ts'
import { encodeEvents, type PublishMessageTo, refuseLate } from './publish-events.ts'

export interface CallParts {
  readonly publish: PublishMessageTo
  readonly file: HandlerContext['file']
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
}

export function callHandler(handler: HandlerDefinition, parts: CallParts): LimitedAttempt {
  const publishFor = publishing(handler, parts)
  return async (events, { attempt, trace = traceOf(events), progress, abort, logger }) => {
    // Without getters, each of which would cost a microsecond here, and which a copy of the context would lose in a class.
    const context: HandlerContext = {
      attempt,
      trace: trace ?? null,
      signal: abort.signal,
      progress,
      logger: lazyLogger(logger),
      publish: publishFor(trace, abort),
      file: parts.file,
    }
    try {
      if (handler.batch !== null) return { ends: endsOf(await handler.handle(events, context), events) }
      const returned = await handler.handle(events[0]!, context)
      return { ends: [handler.request === null ? endOf(returned) : endOfRequest(returned)] }
    } catch (thrown) {
      const end = failed(codeOf(thrown), textOfThrown(thrown))
      return { ends: events.map(() => end) }
    }
  }
}

/** That of the event at work, if there is only one. */
function traceOf(events: readonly HandledEvent[]): TraceContext | undefined {
  if (events.length !== 1) return undefined
  const { traceparent, tracestate } = events[0]!.attributes
  return traceContextOf(traceparent, tracestate)
}

type PublishFor = (trace: TraceContext | undefined, abort: AttemptAbort) => HandlerContext['publish']

/** Makes the `publish` of the calls of a handler. */
function publishing({ topic, request }: HandlerDefinition, { publish, now }: CallParts): PublishFor {
  const own = request === null ? topic : defaultTopic
  const stamper = new EventStamper(now)
  return (trace, abort) =>
    async (events, { topic = own } = {}) => {
      refuseLate(abort)
      const list: readonly EventInput[] = Array.isArray(events) ? events : [events]
      await publish(topic, encodeEvents(list, stamper, trace), abort)
    }
}

/** Makes the logger at the first line: that costs more than all else of an attempt, and few handlers log. */
function lazyLogger(make: LimitedContext['logger']): HandlerContext['logger'] {
  let made: HandlerContext['logger'] | undefined
  const method = (level: keyof HandlerContext['logger']): LogMethod => {
    return (...line: unknown[]) => {
      made ??= make()
      return Reflect.apply(made[level], made, line)
    }
  }
  return { debug: method('debug'), info: method('info'), warn: method('warn'), error: method('error') }
}

/** What a batch handler returned is any value. Throws when it does not tell the outcome of each of these events. */
function endsOf(returned: unknown, events: readonly HandledEvent[]): AttemptEnd[] {
  if (returned === undefined) return events.map(() => ({ is: 'done' }))
  if (!Array.isArray(returned)) {
    throw new TypeError(`the handler returned ${kindOf(returned)}; a batch handler must return nothing or an array`)
  }
  const ends = new Map<unknown, AttemptEnd>()
  for (const [index, item] of returned.entries()) {
    const { event, outcome } = (item ?? {}) as Partial<Record<'event' | 'outcome', unknown>>
    const refuse = (why: string) => {
      throw new TypeError(`the handler returned [${index}]: ${why}; give { event, outcome } for each event once`)
    }
    if (!events.includes(event as HandledEvent)) refuse('its event is none of those that it got')
    if (ends.has(event)) refuse('it names an event twice')
    ends.set(event, endOf(outcome))
  }
  return events.map((event) => ends.get(event) ?? failed('internal', 'the handler returned no outcome for the event'))
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
  return failed('internal', `the handler returned ${kindOf(returned)}; it must return nothing, retry() or dead(reason)`)
}

function endOfRequest(returned: unknown): AttemptEnd {
  const { ended } = (returned ?? {}) as { readonly ended?: unknown }
  if (ended === 'dead' || ended === 'retry') return endOf(returned)
  const reply = payloadOf(returned)
  if (reply === null) return failed('internal', `the handler returned ${kindOf(returned)}, which has no JSON form`)
  return withinReplyLimits({ is: 'done', reply })
}

/** A reply over a limit is dead: another attempt would make the same one. */
export function withinReplyLimits(end: AttemptEnd): AttemptEnd {
  if (end.is !== 'done' || end.reply === undefined) return end
  const { data, dataContentType } = end.reply
  const dead = (message: string): AttemptEnd => ({ is: 'dead', code: 'event_too_large', message })
  if (data.length > maxRequestBytes) return dead(`the reply has ${data.length} bytes; the limit is ${maxRequestBytes}`)
  const length = Buffer.byteLength(dataContentType)
  if (length <= limits.maxNameBytes) return end
  return dead(`the content type of the reply has ${length} bytes; the limit is ${limits.maxNameBytes}`)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
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
