// The events of a producer's message, as far as a key's limits need them.

import { EventFields, textOf } from '../event/record-batch.ts'
import { bytesType, FieldWalker } from '../lib/protobuf-walk.ts'

export interface MessageEvent {
  /** The event with its tag: these bytes are a message of one event. */
  readonly start: number
  readonly end: number
  /** '' where the event cannot be read. */
  readonly id: string
  readonly type: string
}

/** How many events a message has. Null: its bytes are no message. */
export function countEvents(message: Uint8Array): number | null {
  const walker = new FieldWalker().reset(message, 0, message.length)
  let count = 0
  while (walker.next()) if (walker.number === 1 && walker.wireType === bytesType) count++
  return walker.broken ? null : count
}

/** Null: its bytes are no message. */
export function readEvents(message: Uint8Array): readonly MessageEvent[] | null {
  const walker = new FieldWalker().reset(message, 0, message.length)
  const fields = new EventFields()
  const events: MessageEvent[] = []
  while (walker.next()) {
    if (walker.number !== 1 || walker.wireType !== bytesType) continue
    const { fieldStart: start, valueStart, valueEnd: end } = walker
    const isEvent = fields.read(message, valueStart, end)
    const text = (from: number, to: number) => (isEvent ? textOf(message, from, to) : '')
    events.push({
      ...{ start, end },
      id: text(fields.idStart, fields.idEnd),
      type: text(fields.typeStart, fields.typeEnd),
    })
  }
  return walker.broken ? null : events
}
