// Runs the attempts of a handler in its thread. What waits for the thread has not begun: it loses nothing when the thread
// ends, or cannot start, and its time limit begins with its call.

import type { Attempt, AttemptEnd, Failed } from '../attempt.ts'
import type { HandlerThread } from './handler-thread.ts'

const message = 'the handler has no thread that it could begin in'
const notBegun = { is: 'failed', code: 'unavailable', message, afterMs: null, hasNotBegun: true } as const

/** @param attempt waits for the end of a call that has begun. */
export function withThread(thread: HandlerThread, attempt: Attempt): Attempt {
  return async (events, context) => {
    if (!(await thread.begin(events, context))) return { ends: events.map(() => notBegun) }
    const { ends, running } = await attempt(events, context)
    if (running === undefined) return { ends }
    // The thread ends a call that ignores its signal, so that is soon. Only then is known whether it had to.
    const late = await running
    return { ends: ends.map((end, place) => (end.is === 'failed' ? { ...end, ...suspicion(late.ends[place]!) } : end)) }
  }
}

function suspicion(late: AttemptEnd): Pick<Failed, 'isSuspect'> {
  return late.is === 'failed' && late.isSuspect === true ? { isSuspect: true } : {}
}
