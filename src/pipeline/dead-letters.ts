// Dead letters: events that a group has given up, each with the reason; how they are filtered and paged.

/** One failed attempt. Times are microseconds since 1970-01-01 UTC. */
export interface FailedAttempt {
  /** 1 for the first. */
  readonly attempt: number
  readonly atMicros: number
  /** One of the closed list of codes. */
  readonly code: string
  readonly message: string
  /** The event's position: `<topic>/<partition>/<lane>@<epoch>:<offset>`. */
  readonly position: string
}

/** A dead letter without its event. */
export interface DeadLetterSummary {
  /** UUIDv5 of topic, group, source, id and number of redrives, so a dead letter that is appended twice stays one. */
  readonly deadLetterId: string
  /** The row key that the event would have; null for a whole damaged entry, whose events cannot be identified. */
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
  /** Every attempt since the event was accepted or last redriven, in order. */
  readonly history: readonly FailedAttempt[]
  /** When the letter was last redriven; null when never. */
  readonly redrivenAtMicros: number | null
  /** How often the event has been redriven, before and after it became this dead letter. */
  readonly redrives: number
}

/** Selects dead letters. All conditions must hold; an absent condition always holds. */
export interface DeadLetterFilter {
  readonly deadLetterIds?: readonly string[] | undefined
  readonly topic?: string | undefined
  readonly group?: string | undefined
  readonly type?: string | undefined
  readonly code?: string | undefined
  /** Dead at this time or later. */
  readonly sinceMicros?: number | undefined
  /** Dead before this time. */
  readonly untilMicros?: number | undefined
  /** Whether the letter has been redriven. */
  readonly isRedriven?: boolean | undefined
}

/** Maximum number of ids in one filter or call. */
export const maxDeadLetterIds = 1000

export interface DeadLetterQuery extends DeadLetterFilter {
  /** 1 .. 1000. */
  readonly limit: number
  /** From an earlier page's `nextCursor`. */
  readonly cursor?: string | undefined
}

export interface DeadLetterPage {
  readonly deadLetters: readonly DeadLetterSummary[]
  /** Null at the end. */
  readonly nextCursor: string | null
}

/**
 * Dead letters with one cause: the same topic, group, type and code, and the same message up to its first quotation
 * mark.
 */
export interface DeadLetterCause {
  readonly topic: string
  readonly group: string
  readonly type: string
  readonly code: string
  /** The message up to its first quotation mark; the rest differs from event to event. */
  readonly message: string
  readonly deadLetters: number
  readonly firstDeadAtMicros: number
  readonly lastDeadAtMicros: number
}

/** Maximum number of causes in one answer; those with the most letters come first. */
export const maxDeadLetterCauses = 100
