// Changes fields of an encoded event. All other bytes stay the same, including unknown fields.

import { bytesType, FieldWalker, varintLength, writeVarint } from '../lib/protobuf-walk.ts'
import {
  attributesField,
  BatchBuilder,
  contentTypeField,
  dataField,
  type EventParts,
  eventsTag,
  readAttribute,
  readTimestamp,
  receivedAtField,
} from './record-batch.ts'

/** Returns the event with other data. @param contentType default: unchanged. */
export function withData(event: Uint8Array, data: Uint8Array, contentType?: string): Uint8Array {
  const replaced = (number: number) =>
    number === dataField || (contentType !== undefined && number === contentTypeField)
  const parts = { type: '', data, ...(contentType === undefined ? {} : { dataContentType: contentType }) }
  return Buffer.concat([without(event, replaced), fieldsOf(parts)])
}

/** Returns the event with this attribute; replaces an attribute of the same name. */
export function withAttribute(event: Uint8Array, name: string, value: string): Uint8Array {
  const kept = without(
    event,
    (number, walker) =>
      number === attributesField && readAttribute(event, walker.valueStart, walker.valueEnd).name === name,
  )
  return Buffer.concat([kept, fieldsOf({ type: '', attributes: [[name, value]] })])
}

/** Returns the event with this time of receipt (microseconds since 1970) in the field that producers leave empty. */
export function withReceivedAt(event: Uint8Array, micros: number): Uint8Array {
  const time = fieldsOf({ type: '', timeMicros: micros })
  // `time` and `received_at` have the same encoding; only the field number differs.
  time[0] = (receivedAtField << 3) | bytesType
  return Buffer.concat([withoutReceivedAt(event), time])
}

export function withoutReceivedAt(event: Uint8Array): Uint8Array {
  return without(event, (number) => number === receivedAtField)
}

/** The time set by `withReceivedAt`, in microseconds since 1970; null if there is none. */
export function receivedAtOf(event: Uint8Array): number | null {
  const walker = new FieldWalker().reset(event, 0, event.length)
  while (walker.next()) {
    if (walker.number !== receivedAtField || walker.wireType !== bytesType) continue
    const time = readTimestamp(event, walker.valueStart, walker.valueEnd)
    if (time !== null) return time.seconds * 1e6 + Math.floor(time.nanos / 1000)
  }
  return null
}

/** The bytes of a record batch with this one event. */
export function batchOfOne(event: Uint8Array): Uint8Array {
  const batch = Buffer.allocUnsafe(1 + varintLength(event.length) + event.length)
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
  if (walker.broken) throw new Error('the event is not a valid protobuf message')
  return Buffer.concat(kept)
}

/** More than most fields take; the buffer grows for the others. */
const fieldBytes = 256

/** The encoded fields alone, without the tag and length of a batch. */
function fieldsOf(parts: EventParts): Uint8Array {
  const builder = new BatchBuilder(fieldBytes)
  builder.add(parts)
  const batch = builder.take()
  const walker = new FieldWalker().reset(batch, 0, batch.length)
  walker.next()
  return batch.subarray(walker.valueStart, walker.valueEnd)
}
