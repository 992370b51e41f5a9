// The record batch: the events of one producer message, still encoded.
//
// Its bytes are an encoded millrace.v1.RecordBatch, a sequence of fields with number 1, so batches are joined by
// concatenating bytes and split by slicing them. EventReader walks the bytes and records offsets instead of decoding
// events. (protobuf-es needs 0.55 µs to decode an event, the walk about a tenth of that.)
//
// Not its job: validating events (message-scan.ts).

import { bytesType, FieldWalker, varintLength, varintType, writeVarint } from '../lib/protobuf-walk.ts'
import { joinMicros, type Micros, microsAfter, secondsOf } from '../lib/timestamp.ts'
import { type Event, type Lane, priorityOfLane } from './event.ts'

export interface RecordBatch {
  /** The encoded events, one after the other. */
  readonly bytes: Uint8Array
  /** Number of events; 1 or more. */
  readonly count: number
  /** When the server received them, in microseconds since 1970. */
  readonly receivedAtMicros: number
  /** True if the bytes did not match their checksum: they must not be read as events, whatever `count` is. */
  readonly damaged?: boolean
}

/** Tag of `RecordBatch.events`, the only field of a batch. */
export const eventsTag = 0x0a
const eventsField = 1

const idField = 1
const sourceField = 2
const typeField = 3
const subjectField = 4
const timeField = 5
export const dataField = 6
export const contentTypeField = 7
const priorityField = 8
const keyField = 9
export const attributesField = 10
export const receivedAtField = 11

/** Start and end of each field of one encoded event, as offsets into its bytes. An absent field is empty. */
export class EventFields {
  /** The event's own bytes, without tag and length. */
  start = 0
  end = 0
  idStart = 0
  idEnd = 0
  sourceStart = 0
  sourceEnd = 0
  typeStart = 0
  typeEnd = 0
  subjectStart = 0
  subjectEnd = 0
  timeStart = 0
  timeEnd = 0
  hasTime = false
  dataStart = 0
  dataEnd = 0
  contentTypeStart = 0
  contentTypeEnd = 0
  /** The number on the wire; 0 if absent. It may be unknown to this version. */
  priority = 0
  keyStart = 0
  keyEnd = 0
  attributeCount = 0
  /** Start and end of each attribute's map entry: `attributeCount` pairs. */
  readonly attributes: number[] = []

  readonly #walker = new FieldWalker()

  /** Reads the event in the bytes from `start` to `end`; false if they are not a protobuf message. */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    this.start = start
    this.end = end
    this.idStart = this.idEnd = this.sourceStart = this.sourceEnd = this.typeStart = this.typeEnd = start
    this.subjectStart = this.subjectEnd = this.timeStart = this.timeEnd = this.dataStart = this.dataEnd = start
    this.contentTypeStart = this.contentTypeEnd = this.keyStart = this.keyEnd = start
    this.hasTime = false
    this.priority = 0
    this.attributeCount = 0
    const walker = this.#walker.reset(bytes, start, end)
    while (walker.next()) {
      if (walker.wireType === varintType) {
        if (walker.number === priorityField) this.priority = walker.valueHigh === 0 ? walker.valueLow : -1
        continue
      }
      if (walker.wireType !== bytesType) continue
      // As in any protobuf decoder, the last value of a singular field wins, and unknown fields are skipped.
      const from = walker.valueStart
      const to = walker.valueEnd
      switch (walker.number) {
        case idField:
          this.idStart = from
          this.idEnd = to
          break
        case sourceField:
          this.sourceStart = from
          this.sourceEnd = to
          break
        case typeField:
          this.typeStart = from
          this.typeEnd = to
          break
        case subjectField:
          this.subjectStart = from
          this.subjectEnd = to
          break
        case timeField:
          this.timeStart = from
          this.timeEnd = to
          this.hasTime = true
          break
        case dataField:
          this.dataStart = from
          this.dataEnd = to
          break
        case contentTypeField:
          this.contentTypeStart = from
          this.contentTypeEnd = to
          break
        case keyField:
          this.keyStart = from
          this.keyEnd = to
          break
        case attributesField:
          this.attributes[this.attributeCount * 2] = from
          this.attributes[this.attributeCount * 2 + 1] = to
          this.attributeCount++
          break
      }
    }
    return !walker.broken
  }
}

/** The seconds and nanoseconds of an encoded google.protobuf.Timestamp. */
export interface TimestampParts {
  readonly seconds: number
  readonly nanos: number
}

/**
 * Reads an encoded google.protobuf.Timestamp; null if the bytes are not one.
 * @param walker a walker to reuse; avoids an allocation per call.
 */
export function readTimestamp(
  bytes: Uint8Array,
  start: number,
  end: number,
  walker: FieldWalker = new FieldWalker(),
): TimestampParts | null {
  walker.reset(bytes, start, end)
  let seconds = 0
  let nanos = 0
  while (walker.next()) {
    if (walker.wireType !== varintType) continue
    if (walker.number === 1) seconds = (walker.valueHigh | 0) * 0x1_0000_0000 + walker.valueLow
    if (walker.number === 2) nanos = walker.valueLow | 0
  }
  return walker.broken ? null : { seconds, nanos }
}

/** The bytes from `start` to `end` as text. */
export function textOf(bytes: Uint8Array, start: number, end: number): string {
  if (start === end) return ''
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8', start, end)
}

/** The key and the value of an attribute's map entry. */
export function readAttribute(bytes: Uint8Array, start: number, end: number): { name: string; value: string } {
  const walker = new FieldWalker().reset(bytes, start, end)
  let name = ''
  let value = ''
  while (walker.next()) {
    if (walker.wireType !== bytesType) continue
    if (walker.number === 1) name = textOf(bytes, walker.valueStart, walker.valueEnd)
    if (walker.number === 2) value = textOf(bytes, walker.valueStart, walker.valueEnd)
  }
  return { name, value }
}

/** Iterates over the events of a batch. `fields` holds the offsets of the current event. */
export class EventReader {
  readonly fields = new EventFields()
  bytes: Uint8Array = new Uint8Array(0)
  readonly #walker = new FieldWalker()

  reset(bytes: Uint8Array): this {
    this.bytes = bytes
    this.#walker.reset(bytes, 0, bytes.length)
    return this
  }

  /** Moves to the next event; false at the end. Throws if the bytes are not a batch; bytes from the log always are. */
  next(): boolean {
    const walker = this.#walker
    while (walker.next()) {
      if (walker.number !== eventsField || walker.wireType !== bytesType) continue
      if (this.fields.read(this.bytes, walker.valueStart, walker.valueEnd)) return true
      throw new Error('an event of the record batch is not a valid protobuf message')
    }
    if (walker.broken) throw new Error('the record batch is not a valid protobuf message')
    return false
  }

  /** Start of the current event with its tag: the bytes from here to `fields.end` are a batch of one event. */
  get fieldStart(): number {
    return this.#walker.fieldStart
  }
}

/** The lane of a priority on the wire; `normal` if it is absent or unknown. */
export function laneOfPriority(priority: number): Lane {
  return priority === priorityOfLane.high ? 'high' : priority === priorityOfLane.low ? 'low' : 'normal'
}

/** Decodes every event of a batch. For code that shows or delivers single events, not for the hot path. */
export function decodeBatch(bytes: Uint8Array): Event[] {
  const events: Event[] = []
  const reader = new EventReader().reset(bytes)
  while (reader.next()) events.push(decodeEvent(bytes, reader.fields))
  return events
}

/** Decodes the event with these fields. `bytes` are the ones that the fields were read from. */
export function decodeEvent(bytes: Uint8Array, fields: EventFields): Event {
  const attributes = new Map<string, string>()
  for (let index = 0; index < fields.attributeCount; index++) {
    const start = fields.attributes[index * 2]!
    const { name, value } = readAttribute(bytes, start, fields.attributes[index * 2 + 1]!)
    attributes.set(name, value)
  }
  const time = fields.hasTime ? readTimestamp(bytes, fields.timeStart, fields.timeEnd) : null
  return {
    id: textOf(bytes, fields.idStart, fields.idEnd),
    source: textOf(bytes, fields.sourceStart, fields.sourceEnd),
    type: textOf(bytes, fields.typeStart, fields.typeEnd),
    subject: textOf(bytes, fields.subjectStart, fields.subjectEnd),
    timeMicros: time === null ? null : joinMicros(time.seconds, Math.floor(time.nanos / 1000)),
    data: bytes.slice(fields.dataStart, fields.dataEnd),
    dataContentType: textOf(bytes, fields.contentTypeStart, fields.contentTypeEnd),
    lane: laneOfPriority(fields.priority),
    key: textOf(bytes, fields.keyStart, fields.keyEnd),
    attributes,
  }
}

/** Decodes the bytes of one event. Throws if they are not an event. */
export function decodeOneEvent(bytes: Uint8Array): Event {
  const fields = new EventFields()
  if (!fields.read(bytes, 0, bytes.length)) throw new Error('the event is not a valid protobuf message')
  return decodeEvent(bytes, fields)
}

/** The fields of an event to encode; omitted fields get their defaults. */
export interface EventParts {
  readonly id?: string
  readonly source?: string
  readonly type: string
  readonly subject?: string
  /** When it happened, in microseconds since 1970; a bigint keeps each of them before 1684 and after 2255 too. */
  readonly timeMicros?: Micros | null
  readonly data?: Uint8Array
  readonly dataContentType?: string
  readonly lane?: Lane
  readonly key?: string
  readonly attributes?: Iterable<readonly [string, string]>
}

const maxLengthBytes = 5

/** Encodes events one after the other into one growing buffer. */
export class BatchBuilder {
  #buffer: Buffer
  #length = 0
  #count = 0

  /** @param startBytes the buffer's first size. */
  constructor(startBytes = 16 * 1024) {
    this.#buffer = Buffer.allocUnsafeSlow(startBytes)
  }

  /** How many events have been added. */
  get count(): number {
    return this.#count
  }

  /** Their encoded size in bytes. */
  get byteLength(): number {
    return this.#length
  }

  add(event: EventParts): void {
    let room = 64
    for (const text of [event.id, event.source, event.type, event.subject, event.dataContentType, event.key]) {
      if (text !== undefined) room += text.length * 3 + maxLengthBytes + 1
    }
    room += event.data === undefined ? 0 : event.data.length + maxLengthBytes + 1
    const attributes = event.attributes === undefined ? [] : [...event.attributes]
    for (const [name, value] of attributes) room += (name.length + value.length) * 3 + 4 * maxLengthBytes
    this.#makeRoom(room)

    const start = this.#length
    this.#buffer[start] = eventsTag
    const bodyStart = start + 1 + maxLengthBytes
    let at = bodyStart
    at = this.#text(idField, event.id, at)
    at = this.#text(sourceField, event.source, at)
    at = this.#text(typeField, event.type, at)
    at = this.#text(subjectField, event.subject, at)
    if (event.timeMicros !== undefined && event.timeMicros !== null) at = this.#timestamp(event.timeMicros, at)
    if (event.data !== undefined && event.data.length > 0) {
      this.#buffer[at++] = (dataField << 3) | bytesType
      at = writeVarint(this.#buffer, at, event.data.length)
      this.#buffer.set(event.data, at)
      at += event.data.length
    }
    at = this.#text(contentTypeField, event.dataContentType, at)
    if (event.lane !== undefined) {
      this.#buffer[at++] = (priorityField << 3) | varintType
      this.#buffer[at++] = priorityOfLane[event.lane]
    }
    at = this.#text(keyField, event.key, at)
    for (const [name, value] of attributes) at = this.#attribute(name, value, at)

    // Writes the length, unknown before the body, and closes the gap that was reserved for it.
    const bodyLength = at - bodyStart
    const lengthEnd = writeVarint(this.#buffer, start + 1, bodyLength)
    this.#buffer.copyWithin(lengthEnd, bodyStart, at)
    this.#length = lengthEnd + bodyLength
    this.#count++
  }

  /** Returns the encoded events and resets the builder. The caller owns the bytes. */
  take(): Uint8Array {
    const bytes = Buffer.allocUnsafeSlow(this.#length)
    this.#buffer.copy(bytes, 0, 0, this.#length)
    this.#length = 0
    this.#count = 0
    return bytes
  }

  #makeRoom(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }

  #text(field: number, text: string | undefined, at: number): number {
    if (text === undefined || text === '') return at
    const buffer = this.#buffer
    buffer[at] = (field << 3) | bytesType
    if (text.length < 42) {
      // At most 126 bytes in UTF-8: the length takes one byte, so the text can be written before its length is known.
      const length = buffer.write(text, at + 2, 'utf8')
      buffer[at + 1] = length
      return at + 2 + length
    }
    const length = Buffer.byteLength(text)
    at = writeVarint(buffer, at + 1, length)
    buffer.write(text, at, 'utf8')
    return at + length
  }

  #timestamp(micros: Micros, at: number): number {
    const seconds = secondsOf(micros)
    const nanos = microsAfter(seconds, micros) * 1000
    const buffer = this.#buffer
    buffer[at++] = (timeField << 3) | bytesType
    const lengthAt = at++
    if (seconds > 0) {
      buffer[at++] = 0x08
      at = writeVarint(buffer, at, seconds)
    } else if (seconds < 0) {
      buffer[at++] = 0x08
      let rest = BigInt.asUintN(64, BigInt(seconds))
      for (; rest >= 0x80n; rest >>= 7n) buffer[at++] = Number(rest & 0x7fn) | 0x80
      buffer[at++] = Number(rest)
    }
    if (nanos > 0) {
      buffer[at++] = 0x10
      at = writeVarint(buffer, at, nanos)
    }
    buffer[lengthAt] = at - lengthAt - 1
    return at
  }

  #attribute(name: string, value: string, at: number): number {
    const nameBytes = Buffer.byteLength(name)
    const valueBytes = Buffer.byteLength(value)
    const buffer = this.#buffer
    buffer[at++] = (attributesField << 3) | bytesType
    at = writeVarint(buffer, at, 2 + varintLength(nameBytes) + nameBytes + varintLength(valueBytes) + valueBytes)
    buffer[at++] = 0x0a
    at = writeVarint(buffer, at, nameBytes)
    at += buffer.write(name, at, 'utf8')
    buffer[at++] = 0x12
    at = writeVarint(buffer, at, valueBytes)
    return at + buffer.write(value, at, 'utf8')
  }
}

/** Encodes events as one batch. */
export function encodeBatch(events: Iterable<EventParts>): Uint8Array {
  const builder = new BatchBuilder()
  for (const event of events) builder.add(event)
  return builder.take()
}
