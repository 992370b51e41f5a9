// Conversions of dead letters and their pages, shared by both store drivers.

import { uuidToBytes } from '../event/event.ts'
import type { DeadLetterPage, DeadLetterSummary } from '../pipeline/dead-letters.ts'
import { type DeadLetter, formatHistory, storableText } from './dead-letter.ts'
import { bottomPlace, formatCursor, type PagePlace, parseCursor, topPlace } from './page-cursor.ts'

/** A dead letter whose texts every database accepts, with its history as JSON text. */
export interface StorableDeadLetter extends DeadLetter {
  readonly historyJson: string
}

export function storable(letter: DeadLetter): StorableDeadLetter {
  return {
    ...letter,
    topic: storableText(letter.topic),
    group: storableText(letter.group),
    type: storableText(letter.type),
    source: storableText(letter.source),
    message: storableText(letter.message),
    historyJson: formatHistory(letter.history),
  }
}

/** The place after which a page starts, in the requested order. Throws `invalid_event` for an invalid cursor. */
export function pageStart(cursor: string | undefined, isOldestFirst: boolean): PagePlace {
  if (cursor !== undefined) return parseCursor(cursor)
  return isOldestFirst ? bottomPlace : topPlace
}

/** @param found up to `limit + 1` letters; the last one only shows that there is a next page. */
export function pageOfDeadLetters(found: readonly DeadLetterSummary[], limit: number): DeadLetterPage {
  const deadLetters = found.slice(0, limit)
  const last = deadLetters.at(-1)
  if (found.length <= limit || last === undefined) return { deadLetters, nextCursor: null }
  const place = { receivedAtMicros: last.deadAtMicros, eventId: uuidToBytes(last.deadLetterId) }
  return { deadLetters, nextCursor: formatCursor(place) }
}
