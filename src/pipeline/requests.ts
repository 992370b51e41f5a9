// Requests: a caller asks, a worker of the type answers through the log. Part of the Pipeline contract (pipeline.ts).

/** Limits of the type and the id are those of the wire: docs/http.md. */
export interface RequestMessage {
  /** Whose request it is: its id belongs to that caller. Default: of those without a key. */
  readonly caller?: string
  readonly type: string
  /** '' when the server is to assign one. */
  readonly requestId: string
  /** The call takes it and leaves an empty one: it may wait for long, and for many of them together. */
  data: Uint8Array
  /** '' for `application/json`. */
  readonly dataContentType: string
  readonly attributes: Readonly<Record<string, string>>
  /** How long the work is worth beginning, from now; null: for as long as replies are kept. */
  readonly deadlineMs: number | null
  /** How long to wait for the reply, from now; null: until the deadline. */
  readonly waitMs: number | null
}

/** What a worker has answered. */
export interface Reply {
  readonly data: Uint8Array
  readonly dataContentType: string
  /** How many attempts it took. */
  readonly attempts: number
}

/** `accepted`: it waits for a worker. `started`: it was handed to one at least once. */
export type RequestStage = 'accepted' | 'started'

/** Reply is null when it was not there in time. */
export type RequestAnswer = { readonly requestId: string } & (
  | { readonly stage: 'replied'; readonly reply: Reply }
  | { readonly stage: RequestStage; readonly reply: null }
)

export interface ReplyQuery {
  /** As in its RequestMessage. */
  readonly caller?: string
  readonly requestId: string
  /** '' asks for requests of all types. */
  readonly type: string
  readonly waitMs: number
}

export interface Requests {
  /**
   * Stores a request, unless one with its id and type is stored already, and waits for its reply.
   *
   * Resolves with the reply, or after `waitMs` with the stage. The request is then as durable as an accepted event.
   * Errors: `invalid_event` (names the field), `event_too_large`, `failed_precondition` (the id was used with other
   * content), `unavailable` (no living worker serves the type; nothing was stored), `backlogged`, `disk_full`, `draining`
   * (nothing was stored); `deadline_exceeded`: there is no reply by the deadline, and will be none. Those of the worker:
   * `internal` (all attempts have failed), `failed_precondition` (the worker has refused it). `outcomeUnknown`: send it
   * again with the same id.
   */
  request(message: RequestMessage, options?: { readonly signal?: AbortSignal }): Promise<RequestAnswer>

  /** Errors: `not_found`; those of the worker and `deadline_exceeded`, as `request`. */
  getReply(query: ReplyQuery, options?: { readonly signal?: AbortSignal }): Promise<RequestAnswer>
}
