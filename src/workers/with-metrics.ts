// Counts attempts by how they ended, and measures them.

import type { Metrics } from '../telemetry/metrics.ts'
import type { Attempt, AttemptEnd } from './attempt.ts'
import type { HandlerDefinition } from './define-handler.ts'

export function withMetrics(
  { topic, group }: HandlerDefinition,
  { metrics, monotonicNow }: { readonly metrics: Metrics; readonly monotonicNow: () => number },
  attempt: Attempt,
): Attempt {
  const duration = metrics.handlerDuration.with({ topic, group })
  const attempts = (end: AttemptEnd['is']) => metrics.handlerAttempts.with({ topic, group, end })
  const counted = { done: attempts('done'), failed: attempts('failed'), dead: attempts('dead') }
  return async (events, context) => {
    const startedAtMs = monotonicNow()
    const result = await attempt(events, context)
    duration.observe((monotonicNow() - startedAtMs) / 1000)
    for (const { is } of result.ends) counted[is].add(1)
    return result
  }
}
