// A place in the order of events or dead letters, as the parameters of a statement.

import { uuidFromBytes } from '../../event/event.ts'
import type { PagePlace } from '../page-cursor.ts'

/** PostgreSQL's timestamps end in the year 294276. */
export const latestMicros = 9_000_000_000_000_000

/** Before any of ours, and after the earliest that PostgreSQL knows. */
const earliestMicros = -60_000_000_000_000_000

const lowestId = '00000000-0000-0000-0000-000000000000'

export function placeParameters({ receivedAtMicros, eventId }: PagePlace): [micros: number, id: string] {
  return [
    Math.min(Math.max(receivedAtMicros, earliestMicros), latestMicros),
    eventId.length === 0 ? lowestId : uuidFromBytes(eventId),
  ]
}
