// What runs on the events of a group: one function of a batch, and whatever is wrapped around it.

import type { Delivery, Outcome } from '../event-log/event-log.ts'

export interface HandlerContext {
  readonly topic: string
  readonly group: string
  /** Aborts when the process stops and the drain time is over. */
  readonly signal: AbortSignal
}

/**
 * Works on deliveries and answers with an outcome for each of them.
 *
 * When it throws, nothing of the batch counts as done: an outage (a retryable MillraceError) pauses the group and the same
 * deliveries are handled again, with no attempt burned. What is wrong with single events belongs into their outcomes.
 */
export type Handler = (deliveries: readonly Delivery[], context: HandlerContext) => Promise<readonly Outcome[]>
