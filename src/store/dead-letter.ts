// A dead letter: an event that a group has given up, with the reason, as the database keeps it for people.

/** One try that failed. Times are microseconds since 1970-01-01 UTC. */
export interface FailedAttempt {
  /** 1 for the first. */
  readonly attempt: number
  readonly atMicros: number
  /** Of the closed list of codes. */
  readonly code: string
  readonly message: string
  /** Where the event stood: `<topic>/<partition>/<lane>@<epoch>:<offset>`. */
  readonly position: string
}

/** A dead letter without its event. */
export interface DeadLetterSummary {
  /** UUIDv5 of topic, group, source, id and how often the event had been redriven: the same death is the same letter. */
  readonly deadLetterId: string
  /** The row key that the event would have; null when a whole entry is damaged and has no events that could be named. */
  readonly eventId: string | null
  readonly topic: string
  /** The group that gave it up. */
  readonly group: string
  readonly type: string
  readonly source: string
  readonly code: string
  readonly message: string
  readonly attempts: number
  readonly firstFailedAtMicros: number
  readonly deadAtMicros: number
  /** Every try since it was accepted or redriven, in order. */
  readonly history: readonly FailedAttempt[]
  /** When it was last sent again; null when never. */
  readonly redrivenAtMicros: number | null
  /** How often its event has been redriven, before and after it died. */
  readonly redrives: number
}

export interface DeadLetter extends DeadLetterSummary {
  /** The encoded millrace.v1.Event as it was in the log, or the bytes of the damaged entry. */
  readonly event: Uint8Array
}

/** The code of a dead letter whose bytes are damaged: there is no event that could be sent again. */
export const damagedCode = 'corrupt'

/** Which dead letters; all conditions must hold, and an absent one always does. */
export interface DeadLetterFilter {
  readonly deadLetterIds?: readonly string[] | undefined
  readonly topic?: string | undefined
  readonly group?: string | undefined
  readonly type?: string | undefined
  readonly code?: string | undefined
  /** Died at this time or later. */
  readonly sinceMicros?: number | undefined
  /** Died before this time. */
  readonly untilMicros?: number | undefined
  /** Whether it has been sent again. */
  readonly isRedriven?: boolean | undefined
}

/** Ids in one filter or call. */
export const maxDeadLetterIds = 1000

export interface DeadLetterQuery extends DeadLetterFilter {
  /** 1 .. 1000. */
  readonly limit: number
  /** From an earlier page's `nextCursor`. */
  readonly cursor?: string | undefined
}

/** What a database is asked. */
export interface StoredDeadLetterQuery extends DeadLetterQuery {
  /** Only the dead letters of these events. */
  readonly eventIds?: readonly string[] | undefined
  /** Default: the newest first. */
  readonly isOldestFirst?: boolean
}

export interface DeadLetterPage {
  readonly deadLetters: readonly DeadLetterSummary[]
  /** Null at the end. */
  readonly nextCursor: string | null
}

/** Dead letters that died of the same: of one topic, group and type, with one code, and one message but for what it quotes. */
export interface DeadLetterCause {
  readonly topic: string
  readonly group: string
  readonly type: string
  readonly code: string
  /** Up to its first quotation mark: what follows differs from event to event. */
  readonly message: string
  readonly deadLetters: number
  readonly firstDeadAtMicros: number
  readonly lastDeadAtMicros: number
}

/** The most causes that one answer lists, those with the most letters first. */
export const maxDeadLetterCauses = 100

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
