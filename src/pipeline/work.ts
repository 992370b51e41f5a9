// Work by other processes: what a worker asks for when it joins a group, what it gets, and how it answers.

import type { ErrorCode, MillraceError } from '../errors.ts'
import type { RecordBatch } from '../event/record-batch.ts'
import type { Payload } from '../event/request.ts'
import type { TraceContext } from '../event/trace-context.ts'

/** Null, or no types: what the group has declared, else the default of a handler. */
export interface WorkJoin {
  /** The type of the requests that it answers, in place of topic and group, which are ''. '' for a group of events. */
  readonly request: string
  readonly topic: string
  readonly group: string
  /** Events that this worker takes at once, 1 to 1,000. */
  readonly maxInFlight: number
  readonly types: readonly string[]
  readonly ordered: boolean | null
  readonly timeoutMs: number | null
  readonly maxAttempts: number | null
  readonly initialDelayMs: number | null
  readonly maxDelayMs: number | null
  readonly onExhausted: 'dead-letter' | 'hold' | null
  readonly groupConcurrency: number | null
  readonly ratePerSecond: number | null
  readonly limitPerKey: number | null
}

export interface WorkDelivery {
  /** Names it in its session. */
  readonly delivery: number
  /** 1 for the first attempt. */
  readonly attempt: number
  /** The event, as a batch of its own. */
  readonly batch: RecordBatch
  /** That of the attempt; undefined: of the event. */
  readonly trace?: TraceContext | undefined
}

export type WorkEnd =
  /** `reply`: only to a request; an absent one is an empty reply. */
  | { readonly is: 'done'; readonly reply?: Payload }
  | { readonly is: 'failed'; readonly code: ErrorCode; readonly message: string }
  /** `afterMs`: the earliest time of the next attempt from now, up to a day; null: by the delays of the group. */
  | { readonly is: 'retry'; readonly afterMs: number | null }
  /** No attempt can succeed. */
  | { readonly is: 'dead'; readonly reason: string }
  /** It goes to another worker, with the attempts that it had before. */
  | { readonly is: 'returned' }

export interface WorkOutcome {
  readonly delivery: number
  readonly end: WorkEnd
}

/** `shutdown`: an outcome counts if it comes soon. After the others it frees the place only. */
export type RevokeReason = 'timeout' | 'lease_lost' | 'shutdown'

/** A worker that has joined a group. */
export interface WorkerStatus {
  readonly topic: string
  readonly group: string
  /** The address of its connection, as in `127.0.0.1:40312`. */
  readonly peer: string
  /** Milliseconds since 1970. */
  readonly sinceMs: number
  readonly inFlight: number
  readonly maxInFlight: number
}

/** A worker, as the core calls it. No method may throw. */
export interface WorkListener {
  /** The address of its connection. */
  readonly peer: string
  deliver(delivery: WorkDelivery): void
  revoke(delivery: number, reason: RevokeReason): void
  /** The session is over: the server stops, or (null) the worker has left. Nothing is called afterwards. */
  end(error: MillraceError | null): void
}

/** What a worker has joined. */
export interface WorkSession {
  /** As declared by the first worker of the group. */
  readonly timeoutMs: number
  readonly maxAttempts: number
  /**
   * Ends deliveries. Those that were revoked only free their place. Errors: `invalid_event` that names
   * `outcomes[i].delivery` (this worker does not have it) or `outcomes[i].retry.after`; the outcomes before it count.
   */
  settle(outcomes: readonly WorkOutcome[]): void
  /** Starts the time limit of deliveries again. Errors: `invalid_event` that names `extend[i].delivery`. */
  extend(deliveries: readonly number[]): void
  /** Nothing more is delivered, and the session ends when nothing is at work. */
  leave(): void
  /** What is at work has failed, and may have ended its worker. Idempotent. */
  close(): void
}
