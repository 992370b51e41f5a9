// One attempt of a handler, at one event or at a batch, and what it came to. What is added to a handler is a wrapper of
// this shape (handler-attempt.ts).

import type { ErrorCode } from '../errors.ts'
import type { RecordBatch } from '../event/record-batch.ts'
import type { Payload } from '../event/request.ts'
import type { TraceContext } from '../event/trace-context.ts'
import type { AttemptAbort } from './attempt-abort.ts'
import type { HandlerContext } from './define-handler.ts'
import type { HandledEvent } from './handled-event.ts'

export type AttemptEnd =
  | Done
  | Failed
  /** No further attempt can succeed. */
  | { readonly is: 'dead'; readonly code: ErrorCode; readonly message: string }

export interface Done {
  readonly is: 'done'
  /** The reply to a request. */
  readonly reply?: Payload
}

export interface Failed {
  readonly is: 'failed'
  readonly code: ErrorCode
  readonly message: string
  /** The earliest time of the next attempt from now, in milliseconds; null: by the handler's delays. */
  readonly afterMs: number | null
  /** The handler has returned `retry()`. */
  readonly wasAsked?: true
  /** It was at work when the thread of its handler ended, and may have ended it. */
  readonly isSuspect?: true
  /** It never began, so it uses no attempt. */
  readonly hasNotBegun?: true
}

export interface AttemptResult {
  /** One for each event, in the same order. */
  readonly ends: readonly AttemptEnd[]
  /** The handler is still running: it has ignored its signal. Resolves when it ends; never rejects. */
  readonly running?: Promise<AttemptResult>
}

export interface AttemptContext extends Pick<HandlerContext, 'attempt'> {
  /**
   * Makes the handler's logger: it costs more than all else of an attempt, and many handlers log nothing.
   * @param trace default: that of the event at work, if there is only one.
   */
  readonly logger: (trace?: TraceContext) => HandlerContext['logger']
  /** That of the attempt; undefined: of the event at work. */
  readonly trace?: TraceContext | undefined
  /** Gives the handler its signal. */
  readonly abort: AttemptAbort
  /** The events as they are in the log, each as a batch of its own. */
  readonly encoded: () => readonly RecordBatch[]
}

/** Never rejects. */
export type Attempt = (events: readonly HandledEvent[], context: AttemptContext) => Promise<AttemptResult>

export interface LimitedContext extends Omit<AttemptContext, 'encoded'>, Pick<HandlerContext, 'progress'> {
  /** Only where events go on to another process. */
  readonly encoded?: AttemptContext['encoded']
}

/** What has a time limit. Never rejects. */
export type LimitedAttempt = (events: readonly HandledEvent[], context: LimitedContext) => Promise<AttemptResult>
