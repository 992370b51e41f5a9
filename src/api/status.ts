// Maps Millrace's error codes to the statuses of gRPC and HTTP, and back.
//
// Job: the status of each code, and the code for a status that a library set by itself.
// Not its job: the form of the answer (grpc/rich-status.ts, http/problem.ts).

import type { ErrorCode } from '../errors.ts'

/** Status numbers of https://grpc.io/docs/guides/status-codes. */
export const grpcStatus = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const

export type GrpcStatusName = keyof typeof grpcStatus

/**
 * Rows that are not obvious:
 * - An event or a message that is too large is bad input for gRPC; HTTP has its own status for it, 413.
 * - `message_too_large` is RESOURCE_EXHAUSTED because gRPC libraries refuse such a message by themselves with that
 *   status, and one error should not have two. It carries no RetryInfo, so clients do not resend the message.
 * - `draining`, `unavailable` and `durability_lost` mean the same to a client: retry, perhaps at another server.
 * - `refused_by_store` is the database's verdict on an event that was accepted before: a caller cannot fix it.
 * - 499 is sent only when the client has ended its side of the connection; otherwise the client is gone, and 499 appears
 *   in logs and metrics.
 */
const statuses = {
  invalid_event: { grpc: 'INVALID_ARGUMENT', http: 400 },
  event_too_large: { grpc: 'INVALID_ARGUMENT', http: 413 },
  message_too_large: { grpc: 'RESOURCE_EXHAUSTED', http: 413 },
  too_many_events: { grpc: 'INVALID_ARGUMENT', http: 413 },
  unsupported_media_type: { grpc: 'INVALID_ARGUMENT', http: 415 },
  unauthenticated: { grpc: 'UNAUTHENTICATED', http: 401 },
  permission_denied: { grpc: 'PERMISSION_DENIED', http: 403 },
  not_found: { grpc: 'NOT_FOUND', http: 404 },
  already_exists: { grpc: 'ALREADY_EXISTS', http: 409 },
  backlogged: { grpc: 'RESOURCE_EXHAUSTED', http: 429 },
  disk_full: { grpc: 'RESOURCE_EXHAUSTED', http: 429 },
  draining: { grpc: 'UNAVAILABLE', http: 503 },
  unavailable: { grpc: 'UNAVAILABLE', http: 503 },
  durability_lost: { grpc: 'UNAVAILABLE', http: 503 },
  deadline_exceeded: { grpc: 'DEADLINE_EXCEEDED', http: 504 },
  cancelled: { grpc: 'CANCELLED', http: 499 },
  out_of_range: { grpc: 'OUT_OF_RANGE', http: 400 },
  failed_precondition: { grpc: 'FAILED_PRECONDITION', http: 400 },
  refused_by_store: { grpc: 'INTERNAL', http: 500 },
  corrupt: { grpc: 'DATA_LOSS', http: 500 },
  unimplemented: { grpc: 'UNIMPLEMENTED', http: 501 },
  internal: { grpc: 'INTERNAL', http: 500 },
} as const satisfies Record<ErrorCode, { readonly grpc: GrpcStatusName; readonly http: number }>

export function grpcStatusOf(code: ErrorCode): number {
  return grpcStatus[statuses[code].grpc]
}

export function httpStatusOf(code: ErrorCode): number {
  return statuses[code].http
}

/** Whether events were refused only because there is no room now. */
export function isRefusedForRoom(code: ErrorCode): boolean {
  return code === 'backlogged' || code === 'disk_full'
}

const namesOfGrpcStatuses = new Map<number, GrpcStatusName>(
  (Object.keys(grpcStatus) as GrpcStatusName[]).map((name) => [grpcStatus[name], name]),
)

/** The name of a gRPC status in logs and metrics, for example `INVALID_ARGUMENT`. */
export function grpcStatusNameOf(status: number): GrpcStatusName {
  return namesOfGrpcStatuses.get(status) ?? 'UNKNOWN'
}

/** The code for a gRPC status without one; the least specific code when several share the status. */
const codesOfGrpcStatuses: Readonly<Record<Exclude<GrpcStatusName, 'OK'>, ErrorCode>> = {
  CANCELLED: 'cancelled',
  UNKNOWN: 'internal',
  INVALID_ARGUMENT: 'invalid_event',
  DEADLINE_EXCEEDED: 'deadline_exceeded',
  NOT_FOUND: 'not_found',
  ALREADY_EXISTS: 'already_exists',
  PERMISSION_DENIED: 'permission_denied',
  RESOURCE_EXHAUSTED: 'message_too_large',
  FAILED_PRECONDITION: 'failed_precondition',
  ABORTED: 'failed_precondition',
  OUT_OF_RANGE: 'out_of_range',
  UNIMPLEMENTED: 'unimplemented',
  INTERNAL: 'internal',
  UNAVAILABLE: 'unavailable',
  DATA_LOSS: 'corrupt',
  UNAUTHENTICATED: 'unauthenticated',
}

/** The code for a status that grpc-js set by itself; null for OK. */
export function codeOfGrpcStatus(status: number): ErrorCode | null {
  const name = grpcStatusNameOf(status)
  return name === 'OK' ? null : codesOfGrpcStatuses[name]
}

/** The codes for statuses that the HTTP library sets by itself; any other status is mapped by its class. */
const codesOfHttpStatuses: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid_event',
  401: 'unauthenticated',
  403: 'permission_denied',
  404: 'not_found',
  405: 'unimplemented',
  408: 'deadline_exceeded',
  409: 'already_exists',
  413: 'message_too_large',
  415: 'unsupported_media_type',
  429: 'backlogged',
  499: 'cancelled',
  500: 'internal',
  501: 'unimplemented',
  503: 'unavailable',
  504: 'deadline_exceeded',
}

/** The code for a status that the HTTP library set by itself. */
export function codeOfHttpStatus(status: number): ErrorCode {
  return codesOfHttpStatuses[status] ?? (status >= 400 && status < 500 ? 'invalid_event' : 'internal')
}
