// Converts between dead letters and their rows in SQLite, where ids are 16 bytes and times are integers.

import { uuidFromBytes, uuidToBytes } from '../../event/event.ts'
import type { DeadLetterCause, DeadLetterSummary } from '../../pipeline/dead-letters.ts'
import { type DeadLetter, parseHistory } from '../dead-letter.ts'
import type { StorableDeadLetter } from '../dead-letter-page.ts'
import type { CauseRow, DeadLetterRow, WholeDeadLetterRow } from './dead-letter-table.ts'

export function toRow(letter: StorableDeadLetter): WholeDeadLetterRow {
  return {
    dead_letter_id: uuidToBytes(letter.deadLetterId),
    event_id: letter.eventId === null ? null : uuidToBytes(letter.eventId),
    topic: letter.topic,
    group: letter.group,
    type: letter.type,
    source: letter.source,
    code: letter.code,
    message: letter.message,
    attempts: letter.attempts,
    first_failed_at: letter.firstFailedAtMicros,
    dead_at: letter.deadAtMicros,
    event: letter.event,
    history: letter.historyJson,
    redriven_at: letter.redrivenAtMicros,
    redrives: letter.redrives,
  }
}

export function toSummary(row: DeadLetterRow): DeadLetterSummary {
  return {
    deadLetterId: uuidFromBytes(row.dead_letter_id),
    eventId: row.event_id === null ? null : uuidFromBytes(row.event_id),
    topic: row.topic,
    group: row.group,
    type: row.type,
    source: row.source,
    code: row.code,
    message: row.message,
    attempts: row.attempts,
    firstFailedAtMicros: row.first_failed_at,
    deadAtMicros: row.dead_at,
    history: parseHistory(row.history),
    redrivenAtMicros: row.redriven_at,
    redrives: row.redrives,
  }
}

export function toDeadLetter(row: WholeDeadLetterRow): DeadLetter {
  return { ...toSummary(row), event: row.event }
}

export function toCause(row: CauseRow): DeadLetterCause {
  return {
    topic: row.topic,
    group: row.group,
    type: row.type,
    code: row.code,
    message: row.cause,
    deadLetters: row.dead_letters,
    firstDeadAtMicros: row.first_dead_at,
    lastDeadAtMicros: row.last_dead_at,
  }
}
