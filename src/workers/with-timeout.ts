// Limits the time of an attempt, counted from its last sign of progress. A handler that ignores its signal runs on, and
// the end of the attempt says so.

import type { Attempt, LimitedAttempt } from './attempt.ts'
import type { AbortReason } from './define-handler.ts'

export function withTimeout(timeoutMs: number, attempt: LimitedAttempt): Attempt {
  return async (events, context) => {
    const late = Promise.withResolvers<'late'>()
    let timer: NodeJS.Timeout | undefined = setTimeout(() => late.resolve('late'), timeoutMs)
    const running = attempt(events, { ...context, progress: () => timer?.refresh() })
    const end = await Promise.race([running, late.promise])
    clearTimeout(timer)
    // Whatever the handler says now is too late, and must not start the timer of an ended attempt again.
    timer = undefined
    if (end !== 'late') return end
    context.abort.abort('timeout' satisfies AbortReason)
    const message = `the handler took longer than ${timeoutMs} ms`
    const failed = { is: 'failed', code: 'deadline_exceeded', message, afterMs: null } as const
    return { ends: events.map(() => failed), running }
  }
}
