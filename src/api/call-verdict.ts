// The verdict of a whole call, derived from the verdicts of its events (the same for gRPC and HTTP).
//
// Job: decide when a call fails although every event has its own verdict, with which code and which retry hint.
// Not its job: verdicts of events (the pipeline), statuses (status.ts).

import { type ErrorCode, MillraceError } from '../errors.ts'
import type { PublishVerdict, Rejection } from '../pipeline/pipeline.ts'
import { rejectedEvents } from '../pipeline/rejections.ts'
import { defaultRetryAfterMs } from '../wire/publish.ts'
import { isRefusedForRoom } from './status.ts'

/**
 * Null when the call succeeds: an event was accepted or dropped, or there were no events. Otherwise the error to answer
 * with. A refusal for lack of room takes precedence over other reasons, because a retry can succeed.
 *
 * @param rejected how many events were rejected, where not all are listed.
 */
export function failureOfVerdict(
  verdict: Pick<PublishVerdict, 'accepted' | 'dropped' | 'rejections'>,
  rejected = rejectedEvents(verdict.rejections),
): MillraceError | null {
  const { rejections } = verdict
  const first = rejections[0]
  if (verdict.accepted + verdict.dropped > 0 || first === undefined) return null
  const refusedForRoom = rejections.find((rejection) => isRefusedForRoom(rejection.code))
  const reason = refusedForRoom ?? first
  const options = refusedForRoom === undefined ? {} : { retryAfterMs: longestRetryAfterMs(rejections) }
  return new MillraceError(reason.code, describe(reason, rejected), {
    field: `events[${reason.index}]`,
    taken: { accepted: 0, dropped: 0, rejected },
    ...options,
  })
}

/** The failure to answer with: one that leaves an outcome unknown goes before any other, else the first. */
export function graverOf(first: MillraceError | null, next: MillraceError): MillraceError {
  return first === null || (next.outcomeUnknown && !first.outcomeUnknown) ? next : first
}

/** Whether a failure of a whole message counts as a rejection of each of its events with this code. */
export function isVerdictOnEvents(code: ErrorCode): boolean {
  return code === 'not_found' || code === 'too_many_events' || code === 'message_too_large'
}

function describe(reason: Rejection, count: number): string {
  return count === 1
    ? reason.message
    : `none of the ${count} events was accepted; event ${reason.index}: ${reason.message}`
}

/** The longest hint: after that time there may be room for all events. */
function longestRetryAfterMs(rejections: readonly Rejection[]): number {
  let longest = 0
  for (const { retryAfterMs } of rejections) {
    if (retryAfterMs !== undefined && retryAfterMs > longest) longest = retryAfterMs
  }
  return longest === 0 ? defaultRetryAfterMs : longest
}
