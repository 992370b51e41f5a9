// The function that a worker pool runs on the deliveries of a group.

import type { Delivery, Outcome } from '../event-log/event-log.ts'

export interface HandlerContext {
  readonly topic: string
  readonly group: string
  /** Aborts when the process is stopping and the drain time is over. */
  readonly signal: AbortSignal
}

/**
 * Processes deliveries and returns an outcome for each of them.
 *
 * When it throws, none of the deliveries is settled: an outage (a retryable MillraceError) pauses the group, and the
 * same deliveries are handled again without counting an attempt. Failures of single events belong in their outcomes.
 */
export type Handler = (deliveries: readonly Delivery[], context: HandlerContext) => Promise<readonly Outcome[]>
