// The one error class of Millrace and the closed list of its codes.
//
// Job: give every failure that a caller can see one code, a readable message and the name of the wrong field.
// Not its job: turning a code into a gRPC or HTTP status (api/status.ts).

/**
 * Why something failed, and whether a retry can help.
 * - `data`: the input is not valid or the current state does not allow it; a retry fails until one of them is changed.
 * - `outage`: a component is unreachable for a while.
 * - `overload`: there is no room at the moment.
 * - `bug`: a defect in Millrace.
 *
 * Only `outage` and `overload` are retried.
 */
export type ErrorClass = 'data' | 'outage' | 'overload' | 'bug'

/** Every error code that Millrace returns. The list is closed: other programs rely on it (docs/errors.md). */
export const errorCodes = {
  invalid_event: { class: 'data', title: 'The event or request is not valid' },
  event_too_large: { class: 'data', title: 'The event is too large' },
  message_too_large: { class: 'data', title: 'The message is too large' },
  too_many_events: { class: 'data', title: 'The message has too many events' },
  unsupported_media_type: { class: 'data', title: 'The content type is not supported' },
  unauthenticated: { class: 'data', title: 'No valid key was given' },
  permission_denied: { class: 'data', title: 'The caller is not allowed to do this' },
  not_found: { class: 'data', title: 'Not found' },
  already_exists: { class: 'data', title: 'Already exists' },
  backlogged: { class: 'overload', title: 'Too many events are waiting' },
  disk_full: { class: 'overload', title: 'The disk is full' },
  draining: { class: 'outage', title: 'The server is stopping' },
  unavailable: { class: 'outage', title: 'The service is not available' },
  durability_lost: { class: 'outage', title: 'The configured durability cannot be reached' },
  deadline_exceeded: { class: 'outage', title: 'The deadline has passed' },
  cancelled: { class: 'outage', title: 'The call was cancelled' },
  out_of_range: { class: 'data', title: 'The position is out of range' },
  failed_precondition: { class: 'data', title: 'The current state does not allow this' },
  refused_by_store: { class: 'data', title: 'The database refused the event' },
  corrupt: { class: 'data', title: 'Stored data is damaged' },
  unimplemented: { class: 'bug', title: 'Not implemented' },
  internal: { class: 'bug', title: 'An internal error occurred' },
} as const satisfies Record<string, { readonly class: ErrorClass; readonly title: string }>

export type ErrorCode = keyof typeof errorCodes

export interface MillraceErrorOptions {
  /** Path of the wrong field or setting, for example `type`, `events[3].data`, `MILLRACE_HTTP_PORT`. */
  readonly field?: string
  /** How many milliseconds to wait before a retry. */
  readonly retryAfterMs?: number
  /** What a publish call took before it failed. */
  readonly taken?: Taken
  /** The highest epoch that the log remembers of a producer that published with a lower one. */
  readonly highestProducerEpoch?: number
  /** Names what the call was about, for the log: `agent_id`, `request_id`. Never sent to a caller. */
  readonly logFields?: Readonly<Record<string, string>>
  /** The underlying error. It is logged and never sent to a caller. */
  readonly cause?: unknown
}

/** How many events a failed publish call took. Its code says what happened to those that are in none of the counts. */
export interface Taken {
  readonly accepted: number
  readonly dropped: number
  readonly rejected: number
}

/** The fields for the log of a failure that a worker has replied. */
export const failureOfWorker: MillraceErrorOptions['logFields'] = { failed: 'worker' }

/** The error that all of Millrace throws. Its message is sent to the caller. */
export class MillraceError extends Error {
  override readonly name = 'MillraceError'
  readonly code: ErrorCode
  readonly field: string | undefined
  readonly retryAfterMs: number | undefined
  /** Undefined: the code alone says what happened to the events (`outcomeUnknown`). */
  readonly taken: Taken | undefined
  readonly highestProducerEpoch: number | undefined
  readonly logFields: Readonly<Record<string, string>> | undefined

  constructor(code: ErrorCode, message: string, options: MillraceErrorOptions = {}) {
    const { stackTraceLimit } = Error
    if (isRefusalForRoom(code)) Error.stackTraceLimit = 0
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    Error.stackTraceLimit = stackTraceLimit
    this.code = code
    this.field = options.field
    this.retryAfterMs = options.retryAfterMs
    this.taken = options.taken
    this.highestProducerEpoch = options.highestProducerEpoch
    this.logFields = options.logFields
  }

  /** The same error of a publish call that took these events. */
  withTaken(taken: Taken): MillraceError {
    return this.#with({ taken })
  }

  /** The same error with these fields for the log. */
  withLogFields(logFields: Readonly<Record<string, string>>): MillraceError {
    return this.#with({ logFields })
  }

  #with(changed: MillraceErrorOptions): MillraceError {
    const { code, message, field, retryAfterMs, taken, highestProducerEpoch, logFields, cause } = this
    const options = { field, retryAfterMs, taken, highestProducerEpoch, logFields, cause, ...changed }
    return new MillraceError(code, message, options)
  }

  get class(): ErrorClass {
    return errorCodes[this.code].class
  }

  /** Whether this process has failed. A failure that a reply tells of is its worker's. */
  get isOwnFailure(): boolean {
    return this.code === 'internal' && this.logFields !== failureOfWorker
  }

  /** Whether a retry of the same call may succeed. Retrying a publish is safe because events keep their ids. */
  get retryable(): boolean {
    return isRetryable(this.code)
  }

  /**
   * Whether events of the failed publish may have been accepted all the same: publish them again with the same ids. With
   * every other code those of a unary call were not accepted; of a stream, `taken` or its acknowledgements say which were.
   */
  get outcomeUnknown(): boolean {
    return unknownOutcomes.has(this.code)
  }
}

export function isRetryable(code: ErrorCode): boolean {
  const { class: errorClass } = errorCodes[code]
  return errorClass === 'outage' || errorClass === 'overload'
}

const unknownOutcomes: ReadonlySet<ErrorCode> = new Set(['unavailable', 'deadline_exceeded', 'cancelled', 'internal'])

/**
 * While there is no room, one of these errors is created per message and held by the waiting calls. V8 retains the
 * arguments of every frame of a stack trace until `stack` is read, so each error would keep earlier events in memory.
 */
function isRefusalForRoom(code: ErrorCode): boolean {
  return code === 'backlogged' || code === 'disk_full'
}

/** The message with that of the cause, for an operator: the cause is never sent to a caller. */
export function textWithCause({ message, cause }: MillraceError): string {
  return cause instanceof Error ? `${message} (${cause.message})` : message
}

/** Converts any thrown value: aborts become `cancelled`, timeouts `deadline_exceeded`, unknown errors `internal`. */
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
