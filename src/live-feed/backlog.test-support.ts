// Events for the tests of what waits for a subscriber.

import { EventReader, encodeBatch } from '../event/record-batch.ts'
import type { LogGap } from './backlog.ts'
import { BufferedEvent, type EntryPlace } from './live-event.ts'

const place: EntryPlace = { topic: 'orders', epoch: 1, offsets: [0], stream: 0, offsetsBefore: 0 }

/** The event at this offset, with so many bytes of data. */
export function eventAt(offset: number, key: string, bytes: number): BufferedEvent {
  const reader = new EventReader().reset(encodeBatch([{ type: 'a', key, data: Buffer.alloc(bytes) }]))
  reader.next()
  return new BufferedEvent(reader.bytes, reader.fields, 1_700_000_000_000_000, place, offset)
}

/** A gap of unknown size, before the event at this offset. */
export function gapBefore(offset: number): LogGap {
  return { dropped: null, reason: 'lost', from: `${offset}-`, to: `-${offset}` }
}
