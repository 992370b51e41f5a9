// The one error class of Millrace and the closed list of its codes.
//
// Job: give every failure that a caller can see one code, a message for people and the field it is about.
// Not its job: turning a code into a gRPC or HTTP status (api/status.ts).

/** Every code that Millrace answers with. The list is closed: other programs rely on it (docs/errors.md). */
export const errorCodes = {
  invalid_event: { retryable: false, title: 'The event or request is not valid' },
  event_too_large: { retryable: false, title: 'The event is too large' },
  message_too_large: { retryable: false, title: 'The message is too large' },
  too_many_events: { retryable: false, title: 'The message has too many events' },
  unsupported_media_type: { retryable: false, title: 'The content type is not supported' },
  unauthenticated: { retryable: false, title: 'No valid key was given' },
  permission_denied: { retryable: false, title: 'The key does not allow this' },
  not_found: { retryable: false, title: 'There is no such thing' },
  already_exists: { retryable: false, title: 'It exists already' },
  backlogged: { retryable: true, title: 'Too many events are waiting' },
  disk_full: { retryable: true, title: 'The disk is full' },
  draining: { retryable: true, title: 'The server is stopping' },
  unavailable: { retryable: true, title: 'The service is not available' },
  durability_lost: { retryable: true, title: 'The configured durability cannot be reached' },
  deadline_exceeded: { retryable: true, title: 'The deadline has passed' },
  cancelled: { retryable: true, title: 'The call was cancelled' },
  out_of_range: { retryable: false, title: 'The position is out of range' },
  failed_precondition: { retryable: false, title: 'The state does not allow this' },
  refused_by_store: { retryable: false, title: 'The database refused the event' },
  corrupt: { retryable: false, title: 'Stored data is damaged' },
  unimplemented: { retryable: false, title: 'This is not built' },
  internal: { retryable: false, title: 'Something failed inside the server' },
} as const satisfies Record<string, { readonly retryable: boolean; readonly title: string }>

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

  /** Whether the same call may succeed later. Safe for events because they keep their ids. */
  get retryable(): boolean {
    return errorCodes[this.code].retryable
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
