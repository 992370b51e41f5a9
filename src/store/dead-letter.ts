// A dead letter as it is stored in the database: the summary that is shown, and the event itself.

import type { DeadLetterQuery, DeadLetterSummary, FailedAttempt } from '../pipeline/dead-letters.ts'

export interface DeadLetter extends DeadLetterSummary {
  /** The encoded millrace.v1.Event from the log, or the bytes of the damaged entry. */
  readonly event: Uint8Array
}

/** The code of a dead letter whose bytes are damaged: it has no event that could be redriven. */
export const damagedCode = 'corrupt'

/** A query for dead letters in the database. */
export interface StoredDeadLetterQuery extends DeadLetterQuery {
  /** Only the dead letters of these events. */
  readonly eventIds?: readonly string[] | undefined
  /** Default: newest first. */
  readonly isOldestFirst?: boolean
}

/**
 * Converts a text to a form that every database accepts: NUL becomes `\u0000`, a lone surrogate U+FFFD. So a dead
 * letter is never rejected itself.
 */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\\u0000')
}

/** The JSON array of the `history` column. */
export function formatHistory(history: readonly FailedAttempt[]): string {
  return JSON.stringify(
    history.map(({ attempt, atMicros, code, message, position }) => ({
      attempt,
      at_micros: atMicros,
      code,
      message: storableText(message),
      position: storableText(position),
    })),
  )
}

interface HistoryElement {
  readonly attempt: number
  readonly at_micros: number
  readonly code: string
  readonly message: string
  readonly position: string
}

/** Reads what `formatHistory` wrote. */
export function parseHistory(json: string): FailedAttempt[] {
  const elements = JSON.parse(json) as HistoryElement[]
  return elements.map(({ at_micros, ...rest }) => ({ ...rest, atMicros: at_micros }))
}
