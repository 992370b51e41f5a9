// Dead letters as people see, search and page through them: events that a group has given up, with the reason.

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
