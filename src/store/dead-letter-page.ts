// What both stores do with dead letters on their way in and out.

import { uuidToBytes } from '../event/event.ts'
import type { DeadLetterPage, DeadLetterSummary } from '../pipeline/dead-letters.ts'
import { type DeadLetter, formatHistory, storableText } from './dead-letter.ts'
import { bottomPlace, formatCursor, type PagePlace, parseCursor, topPlace } from './page-cursor.ts'

/** A dead letter whose texts every database takes, with the text of its history. */
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

/** What a page follows, in the order that is asked for. Throws `invalid_event` for a cursor that is not ours. */
export function placeBehind(cursor: string | undefined, isOldestFirst: boolean): PagePlace {
  if (cursor !== undefined) return parseCursor(cursor)
  return isOldestFirst ? bottomPlace : topPlace
}

/** @param found one more than the page holds, when there are so many. */
export function pageOfDeadLetters(found: readonly DeadLetterSummary[], limit: number): DeadLetterPage {
  const deadLetters = found.slice(0, limit)
  const last = deadLetters.at(-1)
  if (found.length <= limit || last === undefined) return { deadLetters, nextCursor: null }
  const place = { receivedAtMicros: last.deadAtMicros, eventId: uuidToBytes(last.deadLetterId) }
  return { deadLetters, nextCursor: formatCursor(place) }
}
