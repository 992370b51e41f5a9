// The one error class of Millrace and the closed list of its codes.
//
// Job: give every failure that a caller can see one code, a message for people and the field it is about.
// Not its job: turning a code into a gRPC or HTTP status (api/status.ts).

/**
 * Why something failed, and so what follows. `data`: what was given, or the state that it met, does not allow it; the same
 * again fails again until somebody changes something. `outage`: a part is away and comes back. `overload`: there is no room
 * now. `bug`: Millrace is wrong. Outages and overload are tried again.
 */
export type ErrorClass = 'data' | 'outage' | 'overload' | 'bug'

/** Every code that Millrace answers with. The list is closed: other programs rely on it (docs/errors.md). */
export const errorCodes = {
  invalid_event: { class: 'data', title: 'The event or request is not valid' },
  event_too_large: { class: 'data', title: 'The event is too large' },
  message_too_large: { class: 'data', title: 'The message is too large' },
  too_many_events: { class: 'data', title: 'The message has too many events' },
  unsupported_media_type: { class: 'data', title: 'The content type is not supported' },
  unauthenticated: { class: 'data', title: 'No valid key was given' },
  permission_denied: { class: 'data', title: 'The key does not allow this' },
  not_found: { class: 'data', title: 'There is no such thing' },
  already_exists: { class: 'data', title: 'It exists already' },
  backlogged: { class: 'overload', title: 'Too many events are waiting' },
  disk_full: { class: 'overload', title: 'The disk is full' },
  draining: { class: 'outage', title: 'The server is stopping' },
  unavailable: { class: 'outage', title: 'The service is not available' },
  durability_lost: { class: 'outage', title: 'The configured durability cannot be reached' },
  deadline_exceeded: { class: 'outage', title: 'The deadline has passed' },
  cancelled: { class: 'outage', title: 'The call was cancelled' },
  out_of_range: { class: 'data', title: 'The position is out of range' },
  failed_precondition: { class: 'data', title: 'The state does not allow this' },
  refused_by_store: { class: 'data', title: 'The database refused the event' },
  corrupt: { class: 'data', title: 'Stored data is damaged' },
  unimplemented: { class: 'bug', title: 'This is not built' },
  internal: { class: 'bug', title: 'Something failed inside the server' },
} as const satisfies Record<string, { readonly class: ErrorClass; readonly title: string }>

export type ErrorCode = keyof typeof errorCodes

export interface MillraceErrorOptions {
  /** Path of the field that is wrong: `type`, `events[3].data`, `MILLRACE_HTTP_PORT`. */
  readonly field?: string
  /** When to try again, in milliseconds. */
  readonly retryAfterMs?: number
  /** What went wrong beneath, for the log; never shown to a caller. */
  readonly cause?: unknown
}

/** The error that everything in Millrace throws. Its message is written for the caller. */
export class MillraceError extends Error {
  override readonly name = 'MillraceError'
  readonly code: ErrorCode
  readonly field: string | undefined
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, message: string, options: MillraceErrorOptions = {}) {
    const { stackTraceLimit } = Error
    if (isRefusalForRoom(code)) Error.stackTraceLimit = 0
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    Error.stackTraceLimit = stackTraceLimit
    this.code = code
    this.field = options.field
    this.retryAfterMs = options.retryAfterMs
  }

  get class(): ErrorClass {
    return errorCodes[this.code].class
  }

  /** Whether the same call may succeed later. Safe for events because they keep their ids. */
  get retryable(): boolean {
    return this.class === 'outage' || this.class === 'overload'
  }
}

/**
 * These are made for every message while there is no room, and kept by what waits. V8 keeps the arguments of every frame
 * of a stack that nobody has read yet: with a stack each refusal would keep the events of those before it in memory.
 */
function isRefusalForRoom(code: ErrorCode): boolean {
  return code === 'backlogged' || code === 'disk_full'
}

/** Makes a MillraceError of anything thrown: foreign errors become `internal`, aborts `cancelled`. */
export function toMillraceError(thrown: unknown): MillraceError {
  if (thrown instanceof MillraceError) return thrown
  if (thrown instanceof Error && thrown.name === 'AbortError') {
    return new MillraceError('cancelled', 'the call was cancelled', { cause: thrown })
  }
  if (thrown instanceof Error && thrown.name === 'TimeoutError') {
    return new MillraceError('deadline_exceeded', 'the deadline has passed', { cause: thrown })
  }
  return new MillraceError('internal', 'an internal error occurred', { cause: thrown })
}
