// The trace of a record batch: that of the call which published it, for its events without a `traceparent` of their own.
//
// It stands before the events, so one byte says whether there is one, and a batch without one is as it always was. Where a
// batch is cut, each piece gets it.

import { bytesType, FieldWalker, varintLength, writeVarint } from '../lib/protobuf-walk.ts'
import { attributesField, type EventFields, readAttribute, textOf } from './record-batch.ts'
import { type TraceContext, traceAttributesOf, traceContextOf } from './trace-context.ts'

const traceparentField = 2
const tracestateField = 3
const traceparentTag = (traceparentField << 3) | bytesType

const noBytes = new Uint8Array(0)

/** The encoded fields of a batch that come before its events. */
export function encodeTrace({ traceparent, tracestate }: TraceContext): Uint8Array {
  const bytes = Buffer.allocUnsafe(2 * (1 + 5) + traceparent.length + tracestate.length)
  const at = writeText(bytes, 0, traceparentField, traceparent)
  return bytes.subarray(0, tracestate === '' ? at : writeText(bytes, at, tracestateField, tracestate))
}

/** @param trace as of `encodeTrace` or `encodedTraceOf`; without any the batch itself is returned. */
export function withTrace(trace: Uint8Array, batch: Uint8Array): Uint8Array {
  return trace.length === 0 ? batch : Buffer.concat([trace, batch])
}

/** What comes before the events of a batch; empty when it has no trace. */
export function encodedTraceOf(batch: Uint8Array): Uint8Array {
  if (batch[0] !== traceparentTag) return noBytes
  const walker = new FieldWalker().reset(batch, 0, batch.length)
  while (walker.next()) if (walker.number === 1) return batch.subarray(0, walker.fieldStart)
  return noBytes
}

/** Whether the batch that begins at `start` has a trace: then it must not be joined with another one. */
export function hasTrace(bytes: Uint8Array, start: number): boolean {
  return bytes[start] === traceparentTag
}

/** Undefined when the batch has none. */
export function traceOfBatch(batch: Uint8Array): TraceContext | undefined {
  if (batch[0] !== traceparentTag) return undefined
  const walker = new FieldWalker().reset(batch, 0, batch.length)
  let [traceparent, tracestate] = ['', '']
  while (walker.next() && walker.number !== 1) {
    if (walker.number === traceparentField) traceparent = textOf(batch, walker.valueStart, walker.valueEnd)
    if (walker.number === tracestateField) tracestate = textOf(batch, walker.valueStart, walker.valueEnd)
  }
  return { traceparent, tracestate }
}

/** Whether the event with these fields names its trace itself. */
export function hasOwnTrace(bytes: Uint8Array, { attributes, attributeCount }: EventFields): boolean {
  for (let place = 0; place < attributeCount; place++) {
    if (readAttribute(bytes, attributes[place * 2]!, attributes[place * 2 + 1]!).name === 'traceparent') return true
  }
  return false
}

/** The trace that the event with these fields names; undefined when it names none, or a malformed one. */
export function ownTraceOf(bytes: Uint8Array, { attributes, attributeCount }: EventFields): TraceContext | undefined {
  let [traceparent, tracestate] = ['', '']
  for (let place = 0; place < attributeCount; place++) {
    const { name, value } = readAttribute(bytes, attributes[place * 2]!, attributes[place * 2 + 1]!)
    if (name === 'traceparent') traceparent = value
    if (name === 'tracestate') tracestate = value
  }
  return traceparent === '' ? undefined : traceContextOf(traceparent, tracestate)
}

/** The context as fields that can follow those of an encoded event. */
export function encodeTraceAttributes(trace: TraceContext): Uint8Array {
  return Buffer.concat(
    traceAttributesOf(trace).map(([name, value]) => {
      const bytes = Buffer.allocUnsafe(3 * (1 + 5) + name.length + value.length)
      const entryLength = 2 + varintLength(name.length) + name.length + varintLength(value.length) + value.length
      bytes[0] = (attributesField << 3) | bytesType
      const at = writeText(bytes, writeVarint(bytes, 1, entryLength), 1, name)
      return bytes.subarray(0, writeText(bytes, at, 2, value))
    }),
  )
}

/** Writes a field of ASCII text and returns the offset after it. */
function writeText(bytes: Buffer, at: number, field: number, text: string): number {
  bytes[at] = (field << 3) | bytesType
  at = writeVarint(bytes, at + 1, text.length)
  return at + bytes.write(text, at, 'latin1')
}
