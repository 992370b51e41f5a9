// One event as the columns of its row (docs/tables.md).

import { uuidFromBytes, uuidOfSourceAndId } from '../../event/event.ts'

/** What the events of one entry share. */
export interface EntryColumns {
  /** Which of the call's entries. */
  readonly entry: number
  readonly receivedAtMicros: number
  readonly topic: string
  readonly priority: number
  readonly stream: number
  /** Of the first event. */
  readonly logOffset: number
}

/** The columns of a row, and where its event stands in the call. Used again for another event. */
export class EventRow {
  entry = 0
  /** Which event of the entry. */
  index = 0

  readonly eventId = new Uint8Array(16)
  /** Null when it is the lower-case text of `eventId`. */
  id: string | null = null
  idIsUuid = false
  source = ''
  type = ''
  subject: string | null = null
  /** Null when the producer gave none. A BigInt where a number would lose microseconds (before 1684, after 2255). */
  time: number | bigint | null = null
  receivedAtMicros = 0
  topic = ''
  priority = 0
  key: string | null = null
  data: Uint8Array | null = null
  dataBytes: Uint8Array | null = null
  dataContentType = ''
  attributes: string | null = null
  stream = 0
  logOffset = 0

  /**
   * Takes the second key, because another source has a row under the UUID that is this event's id. False when the id is
   * no UUID: then the event has only one key. The key is made of the UUID in lower case, for the same UUID in any case is
   * the same event.
   */
  takeSecondKey(): boolean {
    if (!this.idIsUuid) return false
    const uuid = uuidFromBytes(this.eventId)
    this.id ??= uuid
    this.eventId.set(uuidOfSourceAndId(this.source, uuid))
    return true
  }
}
