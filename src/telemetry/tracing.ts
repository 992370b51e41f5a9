// Spans: what the parts of the server say to a tracer, if there is one.
//
// Without a tracer a part passes the context on that it was given, and each place that would make a span costs a branch.
// One span stands for one message or one batch, never for each of its events.

import type { TraceContext } from '../event/trace-context.ts'

/** Null: no spans are made. */
export type MaybeTracer = Tracer | null

export interface Tracer {
  /** Begins to publish a message of events, or to send a request. */
  send(work: Work): Span
  /** Begins the work of a group on a batch of events. */
  process(work: GroupWork): Span
}

export interface Work {
  readonly topic: string
  /** How many events. */
  readonly events: number
  /** When it is only one, and is known. */
  readonly event?: TracedEvent | undefined
  /** The id of the request that the span is about. */
  readonly requestId?: string
  /** The context of the call. */
  readonly parent?: TraceContext | undefined
  /**
   * Where the events come from: the span has links to them. When that is one context, and there is no parent, it is the
   * parent. Read once, and not to its end when there are too many.
   */
  readonly from: Iterable<TraceContext>
}

export interface GroupWork extends Work {
  readonly group: string
  /** 1 for the first attempt. */
  readonly attempt?: number
}

export interface TracedEvent {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject: string
}

export interface Span {
  /** The context of this span: for all that is done because of it. */
  readonly context: TraceContext
  /** Runs a function in which OpenTelemetry's API finds this span as the active one. */
  run<Result>(work: () => Result): Result
  /** To be called once. @param failure null: it has succeeded. */
  end(failure: SpanFailure | null): void
}

export interface SpanFailure {
  readonly code: string
  readonly message: string
}
