// Limits the time of an attempt, counted from its last sign of progress. A handler that ignores its signal runs on, and
// the end of the attempt says so.
//
// After a block of the event loop its timers run before what the thread of a handler has said meanwhile. So the limit is
// over only when that was read too.

import type { Attempt, LimitedAttempt } from './attempt.ts'
import type { AbortReason } from './define-handler.ts'

export function withTimeout(timeoutMs: number, attempt: LimitedAttempt): Attempt {
  return async (events, context) => {
    const late = Promise.withResolvers<'late'>()
    let [timer, look]: [NodeJS.Timeout?, NodeJS.Immediate?] = []
    const stop = () => {
      clearTimeout(timer)
      clearImmediate(look)
    }
    const start = () => {
      stop()
      timer = setTimeout(() => {
        look = setImmediate(() => late.resolve('late'))
      }, timeoutMs)
    }
    start()
    let hasEnded = false
    // Whatever the handler says after the end is too late, and must not start the timer again.
    const running = attempt(events, { ...context, progress: () => hasEnded || start() })
    const end = await Promise.race([running, late.promise])
    hasEnded = true
    stop()
    if (end !== 'late') return end
    context.abort.abort('timeout' satisfies AbortReason)
    const message = `the handler took longer than ${timeoutMs} ms`
    const failed = { is: 'failed', code: 'deadline_exceeded', message, afterMs: null } as const
    return { ends: events.map(() => failed), running }
  }
}
