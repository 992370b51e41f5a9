// Limits the time of an attempt. A handler that ignores its signal runs on, and the end of the attempt says so.

import type { Attempt } from './attempt.ts'
import type { AbortReason } from './define-handler.ts'

export function withTimeout(timeoutMs: number, attempt: Attempt): Attempt {
  return async (events, context) => {
    const running = attempt(events, context)
    const late = Promise.withResolvers<'late'>()
    const timer = setTimeout(() => late.resolve('late'), timeoutMs)
    const end = await Promise.race([running, late.promise])
    clearTimeout(timer)
    if (end !== 'late') return end
    context.abort.abort('timeout' satisfies AbortReason)
    const message = `the handler took longer than ${timeoutMs} ms`
    const failed = { is: 'failed', code: 'deadline_exceeded', message, afterMs: null } as const
    return { ends: events.map(() => failed), running }
  }
}
