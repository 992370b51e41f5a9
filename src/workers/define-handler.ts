// What a person writes to work on events: a function for some types of a topic, and how it is to be run.

import { MillraceError } from '../errors.ts'
import { defaultTopic, isTopicName } from '../event/event.ts'
import type { EventInput } from '../event/event-input.ts'
import { isRequestType, requestTopicOf, respondersGroup } from '../event/request.ts'
import type { TraceContext } from '../event/trace-context.ts'
import { compileTypePatterns } from '../event/type-pattern.ts'
import { type GroupLimits, maxGroupLimit } from '../event-log/event-log.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { HandledEvent } from './handled-event.ts'

/** Ends a handler: the event is tried again. */
export interface Retry {
  readonly ended: 'retry'
  readonly afterMs: number | null
}

/** Ends a handler: the event becomes a dead letter. */
export interface Dead {
  readonly ended: 'dead'
  readonly reason: string
}

/**
 * Tries the event again, which uses an attempt as a failure does.
 * @param options.afterMs the earliest time from now, 0 to 86,400,000; by default the delay of the handler's `retry`.
 */
export function retry(options: { readonly afterMs?: number } = {}): Retry {
  return { ended: 'retry', afterMs: options.afterMs ?? null }
}

/** Makes the event a dead letter at once, because no attempt can succeed. */
export function dead(reason: string): Dead {
  return { ended: 'dead', reason }
}

/**
 * Why a handler's signal is aborted: its time limit is over; another gets its event, because the log has given it to the
 * group again or the worker was cut off from its server; the group was deleted; or the process stops.
 */
export type AbortReason = 'timeout' | 'lease_lost' | 'cancelled' | 'shutdown'

export interface HandlerContext {
  /** 1 for the first attempt. */
  readonly attempt: number
  /**
   * The trace that the attempt belongs to, for what the handler calls: as HTTP headers, or as attributes of an event. Null
   * when it belongs to none, and in a call with several events unless traces are exported (docs/traces.md).
   */
  readonly trace: TraceContext | null
  /** Its `reason` is an AbortReason. What a handler does afterwards no longer counts. */
  readonly signal: AbortSignal
  readonly logger: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>
  /** Starts `timeoutMs` again, for work that takes long but moves. Without effect when the time limit has passed. */
  progress(): void
  /**
   * Publishes events, all of them or none, outside the limit on what waits: at most 100,000 events and 4 MiB in one call.
   * An event without an id gets a UUIDv7, one without a time the current time, and one without a `traceparent` that of
   * `trace`. An attempt that is repeated publishes again: give events an id made from `event.eventId`.
   *
   * Resolves when all of them are as durable as what the server accepts. Errors: MillraceError. `invalid_event`,
   * `event_too_large` (`field` names the event), `too_many_events`, `message_too_large`, `not_found` (the topic): none is
   * published. `deadline_exceeded`: the attempt is over, none is published. `disk_full`: none is published, or of several
   * partitions and priorities as many as `taken` says. `outcomeUnknown`: publish again with the same ids.
   * @param options.topic a declared topic. Default: that of the handler; of a handler of requests `events`.
   */
  publish(events: EventInput | readonly EventInput[], options?: { readonly topic?: string }): Promise<void>
  /**
   * The bytes of an uploaded file, in chunks of up to 64 KiB, read as they are taken; end the loop and the file is closed.
   * Errors, at the first chunk: `invalid_event` (no UUID), `not_found`, `unavailable`.
   */
  file(fileId: string): AsyncIterable<Uint8Array>
}

export type Handle = (event: HandledEvent, context: HandlerContext) => Ended | Promise<Ended>
// biome-ignore lint/suspicious/noConfusingVoidType: a function without a return statement is a handler too.
type Ended = undefined | void | Retry | Dead

/**
 * Answers a request. What it returns is the reply: bytes as they are, a string as text, nothing as an empty reply, any other
 * value as JSON; but `retry()` and `dead(reason)` mean what they mean in a Handle.
 */
export type HandleRequest = (request: HandledEvent, context: HandlerContext) => unknown

export type HandleBatch = (events: readonly HandledEvent[], context: HandlerContext) => EndedBatch | Promise<EndedBatch>
// biome-ignore lint/suspicious/noConfusingVoidType: as above.
type EndedBatch = undefined | void | readonly EventOutcome[]

/** How one event of a batch has ended. */
export interface EventOutcome {
  /** One of the events that the handler got. */
  readonly event: HandledEvent
  /** Undefined: it is done. */
  readonly outcome: undefined | Retry | Dead
}

export interface BatchOptions {
  /** Max events of a call, 1 to 1,000. */
  readonly maxEvents: number
  /** How long the first event waits for others before the handler is called, 0 to 60,000. Default 100. */
  readonly maxWaitMs?: number
}

export interface RetryOptions {
  /** Attempts before the event becomes a dead letter, 1 to 1,000. Default: MILLRACE_MAX_ATTEMPTS. */
  readonly maxAttempts?: number
  /** Delay before the second attempt, doubled for each further one. Default 1,000. */
  readonly initialDelayMs?: number
  /** Default 60,000. */
  readonly maxDelayMs?: number
}

interface CommonOptions {
  /** A declared topic. Default `events`. */
  readonly topic?: string
  /** Names the consumer group: processes with the same group share the events. */
  readonly group: string
  /** The types that the handler gets, as in `order.*` or `order.**`; with `types` several. Default: all. */
  readonly type?: string
  readonly types?: readonly string[]
  /** Max calls of the handler at once in this process, 1 to 10,000. Default: MILLRACE_WORKER_CONCURRENCY. */
  readonly concurrency?: number
  /**
   * A call that takes longer, from its start or its last `progress()`, fails and its signal is aborted, 1 to 86,400,000.
   * Default 30,000.
   */
  readonly timeoutMs?: number
  /**
   * Runs the handler in a thread of its own, which imports its module again: a call that blocks the event loop, ends its
   * thread or uses up its memory does so to no other handler. Only for a handler of a module that MILLRACE_HANDLERS
   * names. Default false.
   */
  readonly isolate?: boolean
  readonly retry?: RetryOptions
  /**
   * Default false. Events of one key and priority are worked on in the order in which they were accepted, one at a time:
   * an event that fails holds the later ones of its key, and no others. A group keeps this for its lifetime.
   */
  readonly ordered?: boolean
  /**
   * What becomes of an event whose last attempt has failed. `hold`: a person must release it (`millrace groups keys`); in
   * an ordered group it holds its key until then. Default `dead-letter`.
   */
  readonly onExhausted?: 'dead-letter' | 'hold'
  /** Max events at work at once in all processes of the group, 1 to 100,000. All of them state the same. Default: no limit. */
  readonly groupConcurrency?: number
  /**
   * Max events that begin within a second in all processes of the group, 1 to 100,000; each attempt counts. All processes
   * state the same. Default: no limit.
   */
  readonly ratePerSecond?: number
  /**
   * Max events of one key and priority at work at once in all processes of the group, 1 to 100,000. A group has such a
   * limit, or none, for its lifetime. Default: no limit.
   */
  readonly limitPerKey?: number
}

export interface HandlerOptions extends CommonOptions {
  readonly batch?: undefined
  /**
   * Works on one event. Returns nothing when that is done, `retry()` or `dead(reason)`. When it throws, the attempt has
   * failed; the other events go on.
   */
  readonly handle: Handle
}

/** What makes no sense for requests: each is answered by itself, at once. */
const notOfRequests = ['topic', 'group', 'type', 'types', 'ordered', 'limitPerKey', 'onExhausted', 'batch'] as const

export interface RequestHandlerOptions
  extends Omit<CommonOptions, (typeof notOfRequests)[number]>,
    Partial<Record<(typeof notOfRequests)[number], undefined>> {
  /** The type of the requests that it answers: [a-z0-9][a-z0-9._-]{0,63}. */
  readonly request: string
  readonly handle: HandleRequest
}

export interface BatchHandlerOptions extends CommonOptions {
  /** Calls the handler with several events at their first attempt. Further attempts are calls with one event. */
  readonly batch: BatchOptions
  /**
   * Works on several events. Returns nothing when all are done, or the outcome of each: an event that is left out has
   * failed. When it throws, all of them have failed, and are tried again one by one.
   */
  readonly handle: HandleBatch
}

/** A checked handler. Null: the default of the process. */
export type HandlerDefinition = CheckedOptions &
  (
    | { readonly batch: null; readonly handle: Handle | HandleRequest }
    | { readonly batch: Required<BatchOptions>; readonly handle: HandleBatch }
  )

interface CheckedOptions {
  readonly isMillraceHandler: true
  /** The type of the requests that it answers; null: it works on events. */
  readonly request: string | null
  readonly topic: string
  readonly group: string
  readonly types: readonly string[]
  readonly concurrency: number | null
  readonly timeoutMs: number
  readonly isolate: boolean
  /** Null when it is unknown. */
  readonly module: HandlerModule | null
  readonly maxAttempts: number | null
  readonly initialDelayMs: number
  readonly maxDelayMs: number
  readonly ordered: boolean
  readonly onExhausted: 'dead-letter' | 'hold'
  readonly limits: GroupLimits
}

/** Where a handler comes from. */
export interface HandlerModule {
  readonly url: string
  readonly exportName: string
}

const dayMs = 86_400_000

/** The longest delay before another attempt. */
export const maxDelayMs = dayMs

/** The limits of a group. */
export const limitNames = ['groupConcurrency', 'ratePerSecond', 'limitPerKey'] as const
const known = 'topic group type types concurrency timeoutMs isolate retry ordered onExhausted batch handle'
  .split(' ')
  .concat(limitNames)
const knownOf = { retry: ['maxAttempts', 'initialDelayMs', 'maxDelayMs'], batch: ['maxEvents', 'maxWaitMs'] }

/** Checks a handler. Errors: `invalid_event` that names the wrong option (`field`) and what it must be. */
export function defineHandler(options: HandlerOptions): HandlerDefinition
export function defineHandler(options: BatchHandlerOptions): HandlerDefinition
export function defineHandler(options: RequestHandlerOptions): HandlerDefinition
export function defineHandler(given: HandlerOptions | BatchHandlerOptions | RequestHandlerOptions): HandlerDefinition {
  if (typeof given !== 'object' || given === null) {
    throw new MillraceError('invalid_event', 'defineHandler takes an object with handle, and group or request', {
      field: 'options',
    })
  }
  if (!('request' in given)) return checkedHandler(given, null)
  const { request, ...options } = given
  const refuse = (field: string, must: string): never => {
    const text = `the handler of request ${JSON.stringify(request)}: ${field} ${must}`
    throw new MillraceError('invalid_event', text, { field })
  }
  if (typeof request !== 'string' || !isRequestType(request)) refuse('request', 'must match [a-z0-9][a-z0-9._-]{0,63}')
  for (const field of notOfRequests) if (field in options) refuse(field, 'is not an option of a handler of requests')
  const handler = checkedHandler({ ...options, group: respondersGroup } as HandlerOptions, request)
  return { ...handler, topic: requestTopicOf(request) }
}

function checkedHandler(options: HandlerOptions | BatchHandlerOptions, request: string | null): HandlerDefinition {
  const { topic = defaultTopic, group, type, types = [], concurrency, timeoutMs = 30_000 } = options
  const { isolate = false, ordered = false, onExhausted = 'dead-letter' } = options
  const { maxAttempts, initialDelayMs = 1000, maxDelayMs: longestMs = 60_000 } = options.retry ?? {}
  const name = `the handler of ${request === null ? 'group' : 'request'} ${JSON.stringify(request ?? group)}`
  const refuse = (field: string, must: string): never => {
    throw new MillraceError('invalid_event', `${name}: ${field} ${must}`, { field })
  }
  const inRange = (field: string, value: number, min: number, max: number) => {
    if (Number.isInteger(value) && value >= min && value <= max) return value
    return refuse(field, `is ${value}; it must be a whole number from ${min} to ${max}`)
  }
  for (const key of Object.keys(options)) if (!known.includes(key)) refuse(key, 'is not an option of this version')
  for (const [name, keys] of Object.entries(knownOf)) {
    const value = options[name as keyof typeof knownOf]
    if (value === undefined) continue
    if (typeof value !== 'object' || value === null) refuse(name, `must be an object with ${keys.join(', ')}`)
    for (const key of Object.keys(value))
      if (!keys.includes(key)) refuse(`${name}.${key}`, 'is not an option of this version')
  }
  if (typeof group !== 'string' || !isTopicName(group)) refuse('group', 'must match [a-z0-9][a-z0-9._-]{0,63}')
  if (typeof topic !== 'string' || !isTopicName(topic))
    refuse('topic', `is ${JSON.stringify(topic)}; it must match [a-z0-9][a-z0-9._-]{0,63}`)
  if (type !== undefined && options.types !== undefined) refuse('type', 'and types are both given: use one of them')
  if (typeof options.handle !== 'function')
    refuse('handle', 'is missing: give a function of an event, or of a list of events with batch')
  if (typeof isolate !== 'boolean') refuse('isolate', 'must be true or false')
  const patterns: unknown = type === undefined ? types : [type]
  if (!isTextList(patterns)) return refuse('types', 'must be a list of texts such as ["order.*"]; use type for one')
  if (onExhausted !== 'dead-letter' && onExhausted !== 'hold') refuse('onExhausted', 'must be dead-letter or hold')
  if (typeof ordered !== 'boolean') refuse('ordered', 'must be true or false')
  if (options.types?.length === 0) refuse('types', 'is empty: leave it out for all types')
  compileTypePatterns(patterns)
  if (inRange('retry.initialDelayMs', initialDelayMs, 1, dayMs) > inRange('retry.maxDelayMs', longestMs, 1, dayMs))
    refuse('retry.initialDelayMs', 'is larger than retry.maxDelayMs')
  const limits: Partial<Record<keyof GroupLimits, number>> = {}
  for (const field of limitNames) {
    const limit = options[field]
    if (limit === undefined) continue
    limits[field] = inRange(field, limit, 1, maxGroupLimit)
    const events = options.batch?.maxEvents ?? 1
    if (events > limit && field !== 'limitPerKey')
      refuse('batch.maxEvents', `is ${events}: with ${field} ${limit} no such batch can begin`)
  }
  if (limits.limitPerKey !== undefined && ordered)
    refuse('limitPerKey', 'and ordered are both given: in an ordered group one event of a key is at work')
  const checked = {
    isMillraceHandler: true as const,
    ...{
      request,
      topic,
      group,
      types: patterns,
      initialDelayMs,
      maxDelayMs: longestMs,
      isolate,
      ordered,
      onExhausted,
      limits,
    },
    module: null,
    concurrency: concurrency === undefined ? null : inRange('concurrency', concurrency, 1, 10_000),
    timeoutMs: inRange('timeoutMs', timeoutMs, 1, dayMs),
    maxAttempts: maxAttempts === undefined ? null : inRange('retry.maxAttempts', maxAttempts, 1, 1000),
  }
  if (options.batch === undefined) return { ...checked, batch: null, handle: options.handle }
  const { maxEvents, maxWaitMs = 100 } = options.batch
  const batch = {
    maxEvents: inRange('batch.maxEvents', maxEvents, 1, 1000),
    maxWaitMs: inRange('batch.maxWaitMs', maxWaitMs, 0, 60_000),
  }
  if (maxAttempts === 1) refuse('retry.maxAttempts', 'must be at least 2 with batch: one bad event fails its batch')
  return { ...checked, batch, handle: options.handle }
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

/** Also of a copy of this package in another folder. */
export function isHandlerDefinition(value: unknown): value is HandlerDefinition {
  return typeof value === 'object' && value !== null && 'isMillraceHandler' in value && value.isMillraceHandler === true
}
