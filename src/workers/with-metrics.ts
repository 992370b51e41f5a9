// Counts attempts by how they ended, and measures them.

import type { Metrics } from '../telemetry/metrics.ts'
import type { Attempt } from './attempt.ts'
import type { HandlerDefinition } from './define-handler.ts'

export function withMetrics(
  { topic, group }: HandlerDefinition,
  { metrics, monotonicNow }: { readonly metrics: Metrics; readonly monotonicNow: () => number },
  attempt: Attempt,
): Attempt {
  const duration = metrics.handlerDuration.with({ topic, group })
  return async (event, context) => {
    const startedAtMs = monotonicNow()
    const end = await attempt(event, context)
    duration.observe((monotonicNow() - startedAtMs) / 1000)
    metrics.handlerAttempts.add(1, { topic, group, end: end.is })
    return end
  }
}
