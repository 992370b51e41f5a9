// The verdict of a call as a whole, drawn from the verdicts of its events (the same for gRPC and HTTP).
//
// Job: say when a call fails although every event has its own verdict, with which code, and when to try again.
// Not its job: verdicts of events (the pipeline), statuses (status.ts).

import { type ErrorCode, MillraceError } from '../errors.ts'
import type { PublishVerdict, Rejection } from '../pipeline/pipeline.ts'
import { isRefusedForRoom } from './status.ts'

/** Told to a caller when nobody knows better. Every refusal for room carries a time, or a client may not retry it. */
export const defaultRetryAfterMs = 1000

/**
 * Null when the call succeeds: an event was accepted or dropped, or there was none at all. Else the error to answer with:
 * that events were refused for room wins over the other reasons, for then trying again helps.
 *
 * @param rejected how many rejections there are, where not all are listed.
 */
export function failureOfVerdict(
  verdict: Pick<PublishVerdict, 'accepted' | 'dropped' | 'rejections'>,
  rejected = verdict.rejections.length,
): MillraceError | null {
  const { rejections } = verdict
  const first = rejections[0]
  if (verdict.accepted + verdict.dropped > 0 || first === undefined) return null
  const refusedForRoom = rejections.find((rejection) => isRefusedForRoom(rejection.code))
  const reason = refusedForRoom ?? first
  const options = refusedForRoom === undefined ? {} : { retryAfterMs: longestRetryAfterMs(rejections) }
  return new MillraceError(reason.code, describe(reason, rejected), {
    field: `events[${reason.index}]`,
    ...options,
  })
}

/** All of a message's events, refused with one code: a failure of the message as a whole, told as verdicts. */
export function isVerdictOnEvents(code: ErrorCode): boolean {
  return code === 'not_found' || code === 'too_many_events' || code === 'message_too_large'
}

function describe(reason: Rejection, count: number): string {
  return count === 1
    ? reason.message
    : `none of the ${count} events was taken; event ${reason.index}: ${reason.message}`
}

/** After that time there may be room for all of them. */
function longestRetryAfterMs(rejections: readonly Rejection[]): number {
  let longest = 0
  for (const { retryAfterMs } of rejections) {
    if (retryAfterMs !== undefined && retryAfterMs > longest) longest = retryAfterMs
  }
  return longest === 0 ? defaultRetryAfterMs : longest
}
