// A dead letter as the database keeps it: the summary that people see, and the event itself.

import type { DeadLetterQuery, DeadLetterSummary, FailedAttempt } from '../pipeline/dead-letters.ts'

export interface DeadLetter extends DeadLetterSummary {
  /** The encoded millrace.v1.Event as it was in the log, or the bytes of the damaged entry. */
  readonly event: Uint8Array
}

/** The code of a dead letter whose bytes are damaged: there is no event that could be sent again. */
export const damagedCode = 'corrupt'

/** What a database is asked. */
export interface StoredDeadLetterQuery extends DeadLetterQuery {
  /** Only the dead letters of these events. */
  readonly eventIds?: readonly string[] | undefined
  /** Default: the newest first. */
  readonly isOldestFirst?: boolean
}

/**
 * The text in a form that every database takes: NUL as `\u0000`, half a surrogate pair as U+FFFD. A dead letter must never
 * become a dead letter.
 */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\\u0000')
}

/** The `history` column: a JSON array, as people read it. */
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
