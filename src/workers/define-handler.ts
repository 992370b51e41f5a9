// What a person writes to work on events: a function for some types of a topic, and how it is to be run.

import { MillraceError } from '../errors.ts'
import { defaultTopic, isTopicName } from '../event/event.ts'
import type { EventInput } from '../event/event-input.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { HandledEvent } from './handled-event.ts'
import { compileTypePatterns } from './type-pattern.ts'

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

/** Why a handler's signal is aborted. */
export type AbortReason = 'timeout' | 'shutdown'

export interface HandlerContext {
  /** 1 for the first attempt. */
  readonly attempt: number
  /** Its `reason` is an AbortReason. What a handler does afterwards no longer counts. */
  readonly signal: AbortSignal
  readonly logger: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>
  /**
   * Publishes events, all of them or none, outside the limit on what waits: at most 100,000 events and 4 MiB in one call.
   * An event without an id gets a UUIDv7, one without a time the current time, and one without a `traceparent` that of the
   * event at work. An attempt that is repeated publishes again: give events an id made from `event.eventId`.
   *
   * Resolves when all of them are as durable as what the server accepts. Errors: MillraceError. `invalid_event`,
   * `event_too_large` (`field` names the event), `too_many_events`, `message_too_large`, `not_found` (the topic): none is
   * published. `deadline_exceeded`: the attempt is over, none is published. `disk_full`: none is published, or of several
   * partitions and priorities as many as `taken` says. `outcomeUnknown`: publish again with the same ids.
   * @param options.topic a declared topic. Default: that of the handler.
   */
  publish(events: EventInput | readonly EventInput[], options?: { readonly topic?: string }): Promise<void>
}

export type Handle = (event: HandledEvent, context: HandlerContext) => Ended | Promise<Ended>
// biome-ignore lint/suspicious/noConfusingVoidType: a function without a return statement is a handler too.
type Ended = undefined | void | Retry | Dead

export interface RetryOptions {
  /** Attempts before the event becomes a dead letter, 1 to 1,000. Default: MILLRACE_MAX_ATTEMPTS. */
  readonly maxAttempts?: number
  /** Delay before the second attempt, doubled for each further one. Default 1,000. */
  readonly initialDelayMs?: number
  /** Default 60,000. */
  readonly maxDelayMs?: number
}

export interface HandlerOptions {
  /** A declared topic. Default `events`. */
  readonly topic?: string
  /** Names the consumer group: processes with the same group share the events. */
  readonly group: string
  /** The types that the handler gets, as in `order.*` or `order.**`; with `types` several. Default: all. */
  readonly type?: string
  readonly types?: readonly string[]
  /** Max events at work in this process, 1 to 10,000. Default: MILLRACE_WORKER_CONCURRENCY. */
  readonly concurrency?: number
  /** A longer call fails and its signal is aborted, 1 to 86,400,000. Default 30,000. */
  readonly timeoutMs?: number
  readonly retry?: RetryOptions
  /**
   * Works on one event. Returns nothing when that is done, `retry()` or `dead(reason)`. When it throws, the attempt has
   * failed; the other events go on.
   */
  readonly handle: Handle
}

/** A checked handler. Null: the default of the process. */
export interface HandlerDefinition {
  readonly isMillraceHandler: true
  readonly topic: string
  readonly group: string
  readonly types: readonly string[]
  readonly concurrency: number | null
  readonly timeoutMs: number
  readonly maxAttempts: number | null
  readonly initialDelayMs: number
  readonly maxDelayMs: number
  readonly handle: Handle
}

const dayMs = 86_400_000

/** The longest delay before another attempt. */
export const maxDelayMs = dayMs

const known = new Set(['topic', 'group', 'type', 'types', 'concurrency', 'timeoutMs', 'retry', 'handle'])
const knownOfRetry = new Set(['maxAttempts', 'initialDelayMs', 'maxDelayMs'])

/** Checks a handler. Errors: `invalid_event` that names the wrong option (`field`) and what it must be. */
export function defineHandler(options: HandlerOptions): HandlerDefinition {
  if (typeof options !== 'object' || options === null) {
    throw new MillraceError('invalid_event', 'defineHandler takes an object with group and handle', {
      field: 'options',
    })
  }
  const { topic = defaultTopic, group, type, types = [], concurrency, timeoutMs = 30_000, handle } = options
  const { maxAttempts, initialDelayMs = 1000, maxDelayMs: longestMs = 60_000 } = options.retry ?? {}
  const name = `the handler of group ${JSON.stringify(group)}`
  const refuse = (field: string, must: string): never => {
    throw new MillraceError('invalid_event', `${name}: ${field} ${must}`, { field })
  }
  const inRange = (field: string, value: number, min: number, max: number) => {
    if (Number.isInteger(value) && value >= min && value <= max) return value
    return refuse(field, `is ${value}; it must be a whole number from ${min} to ${max}`)
  }
  for (const key of Object.keys(options)) if (!known.has(key)) refuse(key, 'is not an option of this version')
  for (const key of Object.keys(options.retry ?? {}))
    if (!knownOfRetry.has(key)) refuse(`retry.${key}`, 'is not an option of this version')
  if (typeof group !== 'string' || !isTopicName(group)) refuse('group', 'must match [a-z0-9][a-z0-9._-]{0,63}')
  if (options.retry !== undefined && (typeof options.retry !== 'object' || options.retry === null))
    refuse('retry', 'must be an object with maxAttempts, initialDelayMs or maxDelayMs')
  if (typeof topic !== 'string' || !isTopicName(topic))
    refuse('topic', `is ${JSON.stringify(topic)}; it must match [a-z0-9][a-z0-9._-]{0,63}`)
  if (type !== undefined && options.types !== undefined) refuse('type', 'and types are both given: use one of them')
  if (typeof handle !== 'function') refuse('handle', 'is missing: give a function of an event')
  const patterns: unknown = type === undefined ? types : [type]
  if (!isTextList(patterns)) return refuse('types', 'must be a list of texts such as ["order.*"]; use type for one')
  if (options.types?.length === 0) refuse('types', 'is empty: leave it out for all types')
  compileTypePatterns(patterns)
  if (inRange('retry.initialDelayMs', initialDelayMs, 1, dayMs) > inRange('retry.maxDelayMs', longestMs, 1, dayMs))
    refuse('retry.initialDelayMs', 'is larger than retry.maxDelayMs')
  return {
    isMillraceHandler: true,
    ...{ topic, group, types: patterns, initialDelayMs, maxDelayMs: longestMs, handle },
    concurrency: concurrency === undefined ? null : inRange('concurrency', concurrency, 1, 10_000),
    timeoutMs: inRange('timeoutMs', timeoutMs, 1, dayMs),
    maxAttempts: maxAttempts === undefined ? null : inRange('retry.maxAttempts', maxAttempts, 1, 1000),
  }
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

/** Also of a copy of this package in another folder. */
export function isHandlerDefinition(value: unknown): value is HandlerDefinition {
  return typeof value === 'object' && value !== null && 'isMillraceHandler' in value && value.isMillraceHandler === true
}
