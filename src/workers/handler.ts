// The function that a worker pool runs on the deliveries of a group.

import type { Delivery, Outcome } from '../event-log/event-log.ts'

/** Why a handler returns some deliveries to be retried, while the group goes on. */
export interface RetryReport {
  /** The failure, a colon, its cause. */
  readonly reason: string
  /** When the last of them is due, in milliseconds since 1970. */
  readonly dueAtMs: number
  /** Whether one of them has failed for the first time. */
  readonly isNew: boolean
}

export interface HandlerContext {
  readonly topic: string
  readonly group: string
  /** Aborts when the process is stopping and the drain time is over. */
  readonly signal: AbortSignal
  /** Shows the report in the status until the retries have had their time, and logs it when it is new. */
  readonly reportRetry: (report: RetryReport) => void
}

/**
 * Processes deliveries and returns an outcome for each of them.
 *
 * When it throws, none of the deliveries is settled: an outage (a retryable MillraceError) pauses the group, and the
 * same deliveries are handled again without counting an attempt. Failures of single events belong in their outcomes.
 */
export type Handler = (deliveries: readonly Delivery[], context: HandlerContext) => Promise<readonly Outcome[]>
