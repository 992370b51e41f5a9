// A request in the log: an event of the topic of its type. Its names and limits, and what its event carries for the reply.

import { limits } from './event.ts'

const typePattern = /^[a-z0-9][a-z0-9._-]{0,63}$/

/** Whether the text is a valid type of requests: `[a-z0-9][a-z0-9._-]{0,63}`. */
export function isRequestType(type: string): boolean {
  return typePattern.test(type)
}

const topicPrefix = '_request.'

/** Cannot collide with a declared topic: their names begin with a letter or a digit. */
export function requestTopicOf(type: string): string {
  return topicPrefix + type
}

/** The type whose requests a topic has; null for any other topic. */
export function requestTypeOf(topic: string): string | null {
  return topic.startsWith(topicPrefix) ? topic.slice(topicPrefix.length) : null
}

/** The group of a topic of requests. */
export const respondersGroup = 'responders'

/** How many types of requests a log has topics for. */
export const maxRequestTypes = 256

/** The rest of an event's size is for what goes with the data. */
const reservedBytes = 16 * 1024

/** The data of a request with its attributes, and the data of a reply. */
export const maxRequestBytes = limits.maxEventBytes - reservedBytes

export const requestSource = '/requests'

/** The attributes that a server adds to a request. No caller may use a name with this prefix. */
export const reservedPrefix = 'millrace'

/** The time after which the work is not begun and a reply is not stored, in milliseconds since 1970. */
export const deadlineAttribute = 'millracedeadline'

/** The inbox of the process that waits for the reply. */
export const inboxAttribute = 'millraceinbox'

/** Whose request it is. */
export const callerAttribute = 'millracecaller'

export const maxRequestAttributes = limits.maxAttributes - 3

/** Under which id the log registers a request: an id belongs to the caller that has used it. */
export function registrationOf(caller: string, requestId: string): string {
  return `${caller}:${requestId}`
}

/** Callers without a key. */
export const anyCaller = ''

/** How long one call over gRPC waits for the reply to an earlier request. */
export const maxGetReplyMs = 60_000

/** What a request or a reply carries. */
export interface Payload {
  readonly data: Uint8Array
  /** A media type; '' with empty data. */
  readonly dataContentType: string
}

const noPayload: Payload = { data: new Uint8Array(0), dataContentType: '' }

/**
 * A value as data: bytes as they are, a string as text, undefined as nothing, and any other value as JSON. Null when it has
 * no JSON form; throws what JSON.stringify throws.
 */
export function payloadOf(value: unknown): Payload | null {
  if (value === undefined) return noPayload
  if (typeof value === 'string') return { data: Buffer.from(value), dataContentType: 'text/plain; charset=utf-8' }
  if (value instanceof Uint8Array) return { data: value, dataContentType: 'application/octet-stream' }
  const text = JSON.stringify(value) as string | undefined
  return text === undefined ? null : { data: Buffer.from(text), dataContentType: 'application/json' }
}
