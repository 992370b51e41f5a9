// The query of GET /v1/events/live.

import type { IncomingHttpHeaders } from 'node:http'
import { MillraceError } from '../../errors.ts'
import { defaultTopic } from '../../event/event.ts'
import { type LiveQuery, type OnSlow, onSlowPolicies } from '../../pipeline/live.ts'
import { checkTopic } from '../topic.ts'
import { readQuery, wrongParameter } from './query.ts'

const repeatable = ['type', 'source', 'subject'] as const
const single = [
  'topic',
  'from',
  'last_event_id',
  'subscriber_id',
  'max_buffered_events',
  'on_slow',
  'live',
  'wait',
] as const
const attributePrefix = 'attribute.'
const names = [...repeatable, `${attributePrefix}NAME`, ...single] as const

const defaultWaitSeconds = 20
const maxWaitSeconds = 60

export interface LiveRequest {
  readonly query: LiveQuery
  /** How long a long poll waits for events; null for a stream. */
  readonly waitMs: number | null
}

/** Throws `invalid_event`, naming the parameter. What only the feed knows, such as cursors and globs, it checks itself. */
export function liveRequestOf(given: unknown, headers: IncomingHttpHeaders): LiveRequest {
  const lists: Record<(typeof repeatable)[number], readonly string[]> = { type: [], source: [], subject: [] }
  const attributes = new Map<string, string>()
  const rest: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(given as Record<string, string | string[]>)) {
    const list = repeatable.find((candidate) => candidate === name)
    if (list !== undefined) {
      lists[list] = [value].flat()
    } else if (name.startsWith(attributePrefix)) {
      if (typeof value !== 'string') throw wrongParameter(name, `${name} is given twice: an attribute has one value`)
      attributes.set(name.slice(attributePrefix.length), value)
    } else {
      rest[name] = value
    }
  }
  const { topic, from, last_event_id, subscriber_id, max_buffered_events, on_slow, live, wait } = readQuery(rest, names)
  return {
    query: {
      subscriberId: subscriber_id ?? '',
      topic: checkTopic(topic ?? defaultTopic),
      types: lists.type,
      sources: lists.source,
      subjects: lists.subject,
      attributes,
      // A browser that connects again sends the header, with the same address as before.
      from: headers['last-event-id']?.toString() || last_event_id || withPlus(from ?? ''),
      maxBufferedEvents: max_buffered_events === undefined ? null : countOf(max_buffered_events),
      onSlow: on_slow === undefined ? 'drop_oldest' : policyOf(on_slow),
    },
    waitMs: waitMsOf(live, wait),
  }
}

const parameterOfField: Readonly<Record<string, string>> = {
  types: 'type',
  sources: 'source',
  subjects: 'subject',
  attributes: 'attribute',
}

/** An error of the feed with the name of the parameter as its field. */
export function withParameterName(error: MillraceError): MillraceError {
  const { code, message, field = '', retryAfterMs, cause } = error
  const parameter = parameterOfField[field]
  return parameter === undefined ? error : new MillraceError(code, message, { field: parameter, retryAfterMs, cause })
}

function countOf(text: string): number {
  if (/^\d+$/.test(text)) return Number(text)
  throw wrongParameter('max_buffered_events', 'max_buffered_events must be a whole number, for example 1000')
}

function policyOf(text: string): OnSlow {
  const policy = onSlowPolicies.find((candidate) => candidate === text)
  if (policy !== undefined) return policy
  throw wrongParameter('on_slow', `on_slow must be one of ${onSlowPolicies.join(', ')}`)
}

function waitMsOf(live: string | undefined, wait: string | undefined): number | null {
  if (live !== undefined && live !== 'sse' && live !== 'long-poll') {
    throw wrongParameter('live', 'live must be sse or long-poll')
  }
  if (live !== 'long-poll') {
    if (wait !== undefined) throw wrongParameter('wait', 'wait goes with live=long-poll: a stream does not end')
    return null
  }
  const seconds = wait === undefined ? defaultWaitSeconds : /^\d{1,2}$/.test(wait) ? Number(wait) : Number.NaN
  if (seconds <= maxWaitSeconds) return seconds * 1000
  throw wrongParameter('wait', `wait must be a whole number of seconds from 0 to ${maxWaitSeconds}`)
}

/** A `+` that is not percent-encoded has become a space. */
function withPlus(time: string): string {
  return time.replace(/ (?=\d\d:\d\d$)/, '+')
}
