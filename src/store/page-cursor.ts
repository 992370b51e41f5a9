// A place in the order of landed events, newest first by (received_at, event_id), or of dead letters, newest first by
// (dead_at, dead_letter_id); and its text for callers.

import { MillraceError } from '../errors.ts'

/** What follows are the rows below this place. */
export interface PagePlace {
  readonly receivedAtMicros: number
  /** 16 bytes; or none, which is below every event of that time. */
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

/** Below zero when `a` stands above `b`, that is, comes first. */
export function comparePlaces(a: PagePlace, b: PagePlace): number {
  return b.receivedAtMicros - a.receivedAtMicros || Buffer.compare(b.eventId, a.eventId)
}

const maxLimit = 1000

/** Throws `invalid_event` unless a page may have so many elements: 1 to 1000. */
export function checkLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= maxLimit) return
  throw new MillraceError('invalid_event', `limit is ${limit}; it takes 1 to ${maxLimit}`, { field: 'limit' })
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

/** Throws `invalid_event` when the text is none that `formatCursor` wrote. */
export function parseCursor(cursor: string): PagePlace {
  const bytes = Buffer.from(cursor, 'base64url')
  const eventId = bytes.subarray(headBytes)
  // Decoding passes over what is not base64url, so only a text that is written the same way again is ours.
  if (
    bytes[0] !== version ||
    (eventId.length !== 0 && eventId.length !== 16) ||
    bytes.toString('base64url') !== cursor
  ) {
    throw notOurs(cursor)
  }
  const receivedAtMicros = bytes.length < headBytes ? Number.NaN : Number(bytes.readBigInt64BE(1))
  if (!Number.isSafeInteger(receivedAtMicros)) throw notOurs(cursor)
  return { receivedAtMicros, eventId: new Uint8Array(eventId) }
}

function notOurs(cursor: string): MillraceError {
  const shown = cursor.length > 40 ? `${cursor.slice(0, 40)}…` : cursor
  return new MillraceError(
    'invalid_event',
    `cursor is not one of ours: "${shown}"; pass next_cursor of an earlier page unchanged, or leave it out`,
    { field: 'cursor' },
  )
}
