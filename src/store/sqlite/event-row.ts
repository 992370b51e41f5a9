// One event as the columns of its row (docs/tables.md).

import { uuidFromBytes, uuidOfSourceAndId } from '../../event/event.ts'
import type { Micros } from '../../lib/timestamp.ts'

/** The column values that the events of one entry share. */
export interface EntryColumns {
  /** Index of the entry in the call. */
  readonly entry: number
  readonly receivedAtMicros: number
  readonly topic: string
  readonly priority: number
  readonly stream: number
  /** Offset of the first event. */
  readonly logOffset: number
}

/** The columns of a row, and the place of its event in the call. Reused for other events. */
export class EventRow {
  entry = 0
  /** Index of the event in the entry. */
  index = 0

  readonly eventId = new Uint8Array(16)
  /** Null if it is the lower-case text of `eventId`. */
  id: string | null = null
  idIsUuid = false
  source = ''
  type = ''
  subject: string | null = null
  /** Null if the producer set none. */
  time: Micros | null = null
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
   * Switches to the second key, because an event of another source has a row under this event's UUID. Returns false if
   * the id is not a UUID: then the event has only one key. The key is derived from the lower-case UUID, because the
   * same UUID in any case is the same event.
   */
  takeSecondKey(): boolean {
    if (!this.idIsUuid) return false
    const uuid = uuidFromBytes(this.eventId)
    this.id ??= uuid
    this.eventId.set(uuidOfSourceAndId(this.source, uuid))
    return true
  }
}
