// The worker's side of requests: what is added to a handler of requests.
//
// Job: skip what is past its deadline, and say what the reply to an ended request is: it is stored with the settlement
// (open-delivery.ts).
// Not its job: calling the handler, retries (workers/), waiting for replies (requester.ts).

import { anyCaller, callerAttribute, deadlineAttribute, inboxAttribute, registrationOf } from '../event/request.ts'
import type { ReplyToStore } from '../event-log/replies.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Attempt, AttemptEnd } from '../workers/attempt.ts'
import { withinReplyLimits } from '../workers/call-handler.ts'
import type { HandlerDefinition } from '../workers/define-handler.ts'
import type { HandledEvent } from '../workers/handled-event.ts'
import { attemptsOf } from '../workers/handler-attempt.ts'
import { encodeFailure, encodeReply } from './reply-encoding.ts'

export interface ResponderParts {
  readonly metrics: Metrics
  /** How long a reply is kept. */
  readonly replyTtlMs: number
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
}

/** What a pool needs besides, to answer requests. @param make how its handler is called, as HandlerPoolOptions.attemptsOf. */
export function responding(topic: string, parts: ResponderParts, make = attemptsOf) {
  const skips = skipping(topic, parts)
  const withDeadlines: typeof attemptsOf = (handler, attemptParts, onRoom) => {
    const attempts = make(handler, attemptParts, onRoom)
    return {
      open: () => attempts.open(),
      attempt: withDeadline(handler, parts, skips, attempts.attempt),
      retriesLate: attempts.retriesLate,
      get outage() {
        return attempts.outage
      },
      close: () => attempts.close(),
    }
  }
  return { attemptsOf: withDeadlines, replyTo: replyingTo(parts), skips }
}

/** Whether a request is past its deadline: it is counted, and ends without an attempt. */
function skipping(topic: string, { metrics, now }: ResponderParts) {
  const expired = metrics.requestsExpired.with({ topic })
  return (request: HandledEvent): boolean => {
    const isExpired = isLate(request, now())
    if (isExpired) expired.add(1)
    return isExpired
  }
}

/** Ends a request past its deadline before its attempt begins, and one whose reply is too large. */
function withDeadline(
  { topic }: Pick<HandlerDefinition, 'topic'>,
  { metrics, now }: ResponderParts,
  skips: (request: HandledEvent) => boolean,
  attempt: Attempt,
): Attempt {
  const late = metrics.repliesLate.with({ topic })
  return async (events, context) => {
    const request = events[0]!
    if (skips(request)) return { ends: [{ is: 'done' }] }
    const result = await attempt(events, context)
    const end = withinReplyLimits(result.ends[0]!)
    if (end.is === 'done' && isLate(request, now())) late.add(1)
    return { ...result, ends: [end] }
  }
}

/** Makes the replies to requests that have ended. After the deadline, that is the reply. */
function replyingTo({ replyTtlMs, now }: ResponderParts) {
  return (request: HandledEvent, attempts: number, end: AttemptEnd): ReplyToStore => ({
    id: registrationOf(request.attributes[callerAttribute] ?? anyCaller, request.id),
    bytes: isLate(request, now())
      ? encodeFailure({ code: 'deadline_exceeded', message: 'no worker had a reply by the deadline of the request' })
      : replyOf(attempts, end),
    ttlMs: replyTtlMs,
    inbox: request.attributes[inboxAttribute] ?? '',
  })
}

function isLate({ attributes }: HandledEvent, nowMs: number): boolean {
  return nowMs > Number(attributes[deadlineAttribute] ?? Number.POSITIVE_INFINITY)
}

function replyOf(attempts: number, end: AttemptEnd): Uint8Array {
  switch (end.is) {
    case 'done': {
      const { data, dataContentType } = end.reply ?? { data: new Uint8Array(0), dataContentType: '' }
      return encodeReply({ data, dataContentType, attempts })
    }
    case 'dead':
      return encodeFailure({
        code: 'failed_precondition',
        message: `the worker has refused the request: ${end.message}`,
      })
    case 'failed': {
      const message = `all ${attempts} attempts of the worker have failed, the last one with ${end.code}: ${end.message}`
      return encodeFailure({ code: 'internal', message })
    }
  }
}
