// Changes fields of an encoded event. All other bytes stay as they are, fields that we do not know among them.

import { bytesType, FieldWalker, varintLength, writeVarint } from '../lib/protobuf-walk.ts'
import {
  attributesField,
  contentTypeField,
  dataField,
  type EventParts,
  encodeBatch,
  eventsTag,
  readAttribute,
  readTimestamp,
  receivedAtField,
} from './record-batch.ts'

/** The event with other data. @param contentType as it was when left out. */
export function withData(event: Uint8Array, data: Uint8Array, contentType?: string): Uint8Array {
  const replaced = (number: number) =>
    number === dataField || (contentType !== undefined && number === contentTypeField)
  const parts = { type: '', data, ...(contentType === undefined ? {} : { dataContentType: contentType }) }
  return Buffer.concat([without(event, replaced), fieldsOf(parts)])
}

/** The event with this attribute, which replaces the one of that name. */
export function withAttribute(event: Uint8Array, name: string, value: string): Uint8Array {
  const kept = without(
    event,
    (number, walker) =>
      number === attributesField && readAttribute(event, walker.valueStart, walker.valueEnd).name === name,
  )
  return Buffer.concat([kept, fieldsOf({ type: '', attributes: [[name, value]] })])
}

/** The event with the time of its receipt, in microseconds since 1970, in the field that producers leave empty. */
export function withReceivedAt(event: Uint8Array, micros: number): Uint8Array {
  const time = fieldsOf({ type: '', timeMicros: micros })
  // Both are timestamps: only the number of the field differs.
  time[0] = (receivedAtField << 3) | bytesType
  return Buffer.concat([withoutReceivedAt(event), time])
}

export function withoutReceivedAt(event: Uint8Array): Uint8Array {
  return without(event, (number) => number === receivedAtField)
}

/** What `withReceivedAt` has put in; null when there is none. */
export function receivedAtOf(event: Uint8Array): number | null {
  const walker = new FieldWalker().reset(event, 0, event.length)
  while (walker.next()) {
    if (walker.number !== receivedAtField || walker.wireType !== bytesType) continue
    const time = readTimestamp(event, walker.valueStart, walker.valueEnd)
    if (time !== null) return time.seconds * 1e6 + Math.floor(time.nanos / 1000)
  }
  return null
}

/** The bytes of a batch with this one event. */
export function batchOfOne(event: Uint8Array): Uint8Array {
  const batch = Buffer.alloc(1 + varintLength(event.length) + event.length)
  batch[0] = eventsTag
  batch.set(event, writeVarint(batch, 1, event.length))
  return batch
}

function without(event: Uint8Array, isLeftOut: (number: number, walker: FieldWalker) => boolean): Buffer {
  const kept: Uint8Array[] = []
  const walker = new FieldWalker().reset(event, 0, event.length)
  while (walker.next()) {
    if (!isLeftOut(walker.number, walker)) kept.push(event.subarray(walker.fieldStart, walker.valueEnd))
  }
  if (walker.broken) throw new Error('the event is broken')
  return Buffer.concat(kept)
}

/** Encoded fields alone, without what makes a batch of them. */
function fieldsOf(parts: EventParts): Buffer {
  const batch = encodeBatch([parts])
  const walker = new FieldWalker().reset(batch, 0, batch.length)
  walker.next()
  return Buffer.from(batch.subarray(walker.valueStart, walker.valueEnd))
}
