// A place between two rows in a listing of events, newest first by (received_at, event_id), or of dead letters, newest
// first by (dead_at, dead_letter_id); and its encoding as a page cursor.

import { MillraceError } from '../errors.ts'

/** A page contains rows below this place. */
export interface PagePlace {
  readonly receivedAtMicros: number
  /** 16 bytes; or empty, which is below every event of that time. */
  readonly eventId: Uint8Array
}

const noEventId = new Uint8Array(0)

/** The place above all events received before a time. */
export function placeBefore(micros: number): PagePlace {
  return { receivedAtMicros: micros, eventId: noEventId }
}

/** The place above every event. */
export const topPlace: PagePlace = placeBefore(Number.MAX_SAFE_INTEGER)

/** The place below every event. */
export const bottomPlace: PagePlace = placeBefore(Number.MIN_SAFE_INTEGER)

/** Below zero if `a` is above `b`, that is, comes first. */
export function comparePlaces(a: PagePlace, b: PagePlace): number {
  return b.receivedAtMicros - a.receivedAtMicros || Buffer.compare(b.eventId, a.eventId)
}

const maxLimit = 1000

/** Throws `invalid_event` unless the page size is 1 to 1000. */
export function checkLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= maxLimit) return
  throw new MillraceError('invalid_event', `limit is ${limit}; it must be 1 to ${maxLimit}`, { field: 'limit' })
}

const version = 1
const headBytes = 9

export function formatCursor({ receivedAtMicros, eventId }: PagePlace): string {
  const bytes = Buffer.alloc(headBytes + eventId.length)
  bytes[0] = version
  bytes.writeBigInt64BE(BigInt(receivedAtMicros), 1)
  bytes.set(eventId, headBytes)
  return bytes.toString('base64url')
}

/** Throws `invalid_event` for any text that `formatCursor` did not write. */
export function parseCursor(cursor: string): PagePlace {
  const bytes = Buffer.from(cursor, 'base64url')
  const eventId = bytes.subarray(headBytes)
  // Buffer.from skips characters that are not base64url, so the text is valid only if it is encoded to itself again.
  if (
    bytes[0] !== version ||
    (eventId.length !== 0 && eventId.length !== 16) ||
    bytes.toString('base64url') !== cursor
  ) {
    throw invalidCursor(cursor)
  }
  const receivedAtMicros = bytes.length < headBytes ? Number.NaN : Number(bytes.readBigInt64BE(1))
  if (!Number.isSafeInteger(receivedAtMicros)) throw invalidCursor(cursor)
  return { receivedAtMicros, eventId: new Uint8Array(eventId) }
}

function invalidCursor(cursor: string): MillraceError {
  const shown = cursor.length > 40 ? `${cursor.slice(0, 40)}…` : cursor
  return new MillraceError(
    'invalid_event',
    `cursor is not valid: "${shown}"; pass next_cursor of an earlier page unchanged, or leave it out`,
    { field: 'cursor' },
  )
}
