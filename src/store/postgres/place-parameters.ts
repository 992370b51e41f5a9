// Converts a place in a listing of events or dead letters to the parameters of a statement.

import { uuidFromBytes } from '../../event/event.ts'
import type { PagePlace } from '../page-cursor.ts'

/** A time within PostgreSQL's range, which ends in the year 294276. */
export const latestMicros = 9_000_000_000_000_000

/** Before any time of an event, and within PostgreSQL's range. */
const earliestMicros = -60_000_000_000_000_000

const lowestId = '00000000-0000-0000-0000-000000000000'

export function placeParameters({ receivedAtMicros, eventId }: PagePlace): [micros: number, id: string] {
  return [
    Math.min(Math.max(receivedAtMicros, earliestMicros), latestMicros),
    eventId.length === 0 ? lowestId : uuidFromBytes(eventId),
  ]
}
