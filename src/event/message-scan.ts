// Scans a producer's message in one pass: where its events are, which are valid, and what is wrong with the others.
//
// Job: every check that needs only the event itself (names, sizes, text, JSON, time). An invalid event does not affect
// the other events of its message.
// Not its job: topics, room, partitions (ingest/), encoding (record-batch.ts).
//
// It runs for every incoming event, on the thread that serves the sockets, so it reads bytes and fills typed arrays
// that are reused for the next message. It creates strings only for rejected events.

import type { ErrorCode } from '../errors.ts'
import { MillraceError } from '../errors.ts'
import { crc32c } from '../lib/crc32c.ts'
import { describeJsonFault, JsonText } from '../lib/json/json-text.ts'
import { bytesType, FieldWalker } from '../lib/protobuf-walk.ts'
import { beginsWithByteOrderMark, byteOrderMarkFault, sameBytes, textFault } from '../lib/utf8.ts'
import { isJsonContentType, limits } from './event.ts'
import { attributeOf, type PartitionBy } from './partition-by.ts'
import { EventFields, readTimestamp, textOf } from './record-batch.ts'

/** An event that is rejected. */
export interface Refusal {
  readonly index: number
  readonly id: string
  readonly code: ErrorCode
  readonly message: string
}

/**
 * Whether a stream takes no events now. `partitionHash`: the CRC-32C of the value that picks the partition, null if there
 * is none.
 */
export type IsClosed = (laneIndex: number, partitionHash: number | null) => boolean

/** 0001-01-01 and 9999-12-31T23:59:59: the range of google.protobuf.Timestamp and of RFC 3339. */
const earliestSeconds = -62_135_596_800
const latestSeconds = 253_402_300_799

const maxSubjectBytes = 1024

/** The value in `laneIndexes` of a rejected event. */
export const refusedLaneIndex = 255

const laneIndexOfPriority = [1, 2, 1, 0] as const

const jsonContentType = new TextEncoder().encode('application/json')

/** Scans messages. The result in its fields is valid until the next `scan()`, which reuses the arrays. */
export class MessageScanner {
  message: Uint8Array = new Uint8Array(0)
  /** Number of events in the message, rejected ones included. */
  count = 0
  /** Start of each event's field, with its tag: `starts[i]` to `ends[i]` is a record batch of one event. */
  starts = new Int32Array(1024)
  ends = new Int32Array(1024)
  /** For each event, the index of its lane in `lanes`, or `refusedLaneIndex`. */
  laneIndexes = new Uint8Array(1024)
  /** CRC-32C of the value that picks each event's partition; valid only where `hasPartitionKey` is 1. */
  partitionHashes = new Uint32Array(1024)
  /** 1 for each event that has such a value. */
  hasPartitionKey = new Uint8Array(1024)
  /** 1 for each event without an id. */
  lacksId = new Uint8Array(1024)
  /** Whether any event has a value that picks its partition. */
  hasPartitionKeys = false
  /** Whether any valid event lacks an id. */
  idsLacking = false
  /** The lane of all events if they share one and none is rejected, else -1. */
  commonLaneIndex = -1
  /** Whether the events are adjacent, with no other fields between them. */
  contiguous = true
  refusals: Refusal[] = []

  readonly #text = new JsonText()
  readonly #walker = new FieldWalker()
  readonly #innerWalker = new FieldWalker()
  readonly #fields = new EventFields()
  #isClosed: IsClosed | null = null
  #partitionBy: PartitionBy = 'key'
  #partitionAttribute: Uint8Array | null = null

  /**
   * Scans a message whose field 1 is the events; other fields are skipped. Throws a MillraceError for the message as a
   * whole: `message_too_large`, `too_many_events`, and `invalid_event` if it is not a protobuf message.
   *
   * @param isClosed streams whose events will be refused: their content is not checked, so under overload a refusal
   *   costs little. Null: all are open.
   */
  scan(message: Uint8Array, partitionBy: PartitionBy = 'key', isClosed: IsClosed | null = null): this {
    if (message.length > limits.maxMessageBytes) {
      throw new MillraceError(
        'message_too_large',
        `the message has ${message.length} bytes; the limit is ${limits.maxMessageBytes}: send fewer events at once`,
      )
    }
    this.message = message
    this.#isClosed = isClosed
    this.#text.load(message)
    if (partitionBy !== this.#partitionBy) this.#setPartitionBy(partitionBy)
    this.count = 0
    this.hasPartitionKeys = false
    this.idsLacking = false
    this.commonLaneIndex = -1
    this.contiguous = true
    this.refusals = []
    const walker = this.#walker.reset(message, 0, message.length)
    let previousEnd = -1
    while (walker.next()) {
      if (walker.number !== 1 || walker.wireType !== bytesType) continue
      if (previousEnd >= 0 && walker.fieldStart !== previousEnd) this.contiguous = false
      previousEnd = walker.valueEnd
      if (this.count === this.starts.length) this.#grow()
      this.#take(walker.fieldStart, walker.valueStart, walker.valueEnd)
    }
    if (walker.broken) throw new MillraceError('invalid_event', 'the message is not a valid protobuf message')
    return this
  }

  #take(fieldStart: number, start: number, end: number): void {
    const index = this.count++
    if (index === limits.maxEventsPerMessage) {
      throw new MillraceError(
        'too_many_events',
        `the message has more than ${limits.maxEventsPerMessage} events: split it into several messages`,
      )
    }
    this.starts[index] = fieldStart
    this.ends[index] = end
    const laneIndex = this.#check(index, start, end)
    this.laneIndexes[index] = laneIndex
    if (index === 0) this.commonLaneIndex = laneIndex === refusedLaneIndex ? -1 : laneIndex
    else if (laneIndex !== this.commonLaneIndex) this.commonLaneIndex = -1
  }

  /** The lane of the event in `start` to `end`, or `refusedLaneIndex`. */
  #check(index: number, start: number, end: number): number {
    const fields = this.#fields
    if (end - start > limits.maxEventBytes) {
      fields.idStart = fields.idEnd = start
      return this.#refuse(
        index,
        'event_too_large',
        `the event has ${end - start} bytes; the limit is ${limits.maxEventBytes}`,
      )
    }
    const message = this.message
    if (!fields.read(message, start, end)) {
      fields.idStart = fields.idEnd = start
      return this.#refuse(index, 'invalid_event', 'the event is not a valid protobuf message')
    }
    const laneIndex = laneIndexOfPriority[fields.priority]
    this.#notePartition(index)
    const lacksId = fields.idStart === fields.idEnd
    this.lacksId[index] = lacksId ? 1 : 0
    if (laneIndex !== undefined && this.#isClosed !== null) {
      const hash = this.hasPartitionKey[index] === 1 ? this.partitionHashes[index]! : null
      if (this.#isClosed(laneIndex, hash)) return laneIndex
    }
    const fault = this.#textFaults() ?? this.#timeFault() ?? this.#attributesFault() ?? this.#dataFault()
    if (fault !== null) return this.#refuse(index, 'invalid_event', fault)
    if (laneIndex === undefined) {
      return this.#refuse(index, 'invalid_event', 'priority is unknown; it is LOW (1), NORMAL (2) or HIGH (3)')
    }
    if (lacksId) this.idsLacking = true
    return laneIndex
  }

  #setPartitionBy(partitionBy: PartitionBy): void {
    this.#partitionBy = partitionBy
    const attribute = attributeOf(partitionBy)
    this.#partitionAttribute = attribute === null ? null : new TextEncoder().encode(attribute)
  }

  #notePartition(index: number): void {
    const fields = this.#fields
    const by = this.#partitionBy
    if (by === 'key') this.#noteHash(index, fields.keyStart, fields.keyEnd)
    else if (by === 'source') this.#noteHash(index, fields.sourceStart, fields.sourceEnd)
    else if (by === 'subject') this.#noteHash(index, fields.subjectStart, fields.subjectEnd)
    else this.#noteAttribute(index, this.#partitionAttribute!)
  }

  /** The last value of a repeated name counts, as in the table. */
  #noteAttribute(index: number, name: Uint8Array): void {
    const { attributes, attributeCount } = this.#fields
    let [start, end] = [0, 0]
    for (let place = 0; place < attributeCount; place++) {
      const walker = this.#innerWalker.reset(this.message, attributes[place * 2]!, attributes[place * 2 + 1]!)
      let isNamed = false
      let [valueStart, valueEnd] = [0, 0]
      while (walker.next()) {
        if (walker.wireType !== bytesType) continue
        const length = walker.valueEnd - walker.valueStart
        if (walker.number === 1)
          isNamed = length === name.length && sameBytes(this.message, walker.valueStart, name, 0, length)
        if (walker.number === 2) [valueStart, valueEnd] = [walker.valueStart, walker.valueEnd]
      }
      if (isNamed) [start, end] = [valueStart, valueEnd]
    }
    this.#noteHash(index, start, end)
  }

  #noteHash(index: number, start: number, end: number): void {
    if (start === end) {
      this.hasPartitionKey[index] = 0
      return
    }
    this.hasPartitionKey[index] = 1
    this.partitionHashes[index] = crc32c(this.message, start, end)
    this.hasPartitionKeys = true
  }

  #refuse(index: number, code: ErrorCode, message: string): number {
    const { idStart, idEnd } = this.#fields
    const id = idEnd - idStart > limits.maxNameBytes ? '' : textOf(this.message, idStart, idEnd)
    this.refusals.push({ index, id, code, message })
    return refusedLaneIndex
  }

  #textFaults(): string | null {
    const fields = this.#fields
    if (fields.typeStart === fields.typeEnd) return `type is empty; it takes 1 to ${limits.maxNameBytes} bytes`
    return (
      this.#textFault('type', fields.typeStart, fields.typeEnd, limits.maxNameBytes) ??
      this.#textFault('id', fields.idStart, fields.idEnd, limits.maxNameBytes) ??
      this.#textFault('source', fields.sourceStart, fields.sourceEnd, limits.maxNameBytes) ??
      this.#textFault('subject', fields.subjectStart, fields.subjectEnd, maxSubjectBytes) ??
      this.#textFault('data_content_type', fields.contentTypeStart, fields.contentTypeEnd, limits.maxNameBytes) ??
      this.#textFault('key', fields.keyStart, fields.keyEnd, limits.maxKeyBytes)
    )
  }

  #textFault(field: string, start: number, end: number, maxBytes: number): string | null {
    if (start === end) return null
    if (end - start > maxBytes) return `${field} has ${end - start} bytes; the limit is ${maxBytes}`
    if (this.#text.isPlain(start, end)) return null
    switch (textFault(this.message, start, end)) {
      case null:
        return null
      case 'nul':
        return `${field} has a NUL character`
      case 'utf8':
        return `${field} is not valid UTF-8`
    }
  }

  #timeFault(): string | null {
    const fields = this.#fields
    if (!fields.hasTime) return null
    const time = readTimestamp(this.message, fields.timeStart, fields.timeEnd, this.#innerWalker)
    if (time === null) return 'time is not a valid google.protobuf.Timestamp'
    if (time.seconds < earliestSeconds || time.seconds > latestSeconds) return 'time is not in the years 1 to 9999'
    if (time.nanos < 0 || time.nanos > 999_999_999) return 'time has nanos outside of 0 to 999999999'
    return null
  }

  #attributesFault(): string | null {
    const fields = this.#fields
    if (fields.attributeCount === 0) return null
    if (fields.attributeCount > limits.maxAttributes) {
      return `attributes has ${fields.attributeCount} entries; the limit is ${limits.maxAttributes}`
    }
    for (let index = 0; index < fields.attributeCount; index++) {
      const fault = this.#attributeFault(fields.attributes[index * 2]!, fields.attributes[index * 2 + 1]!)
      if (fault !== null) return fault
    }
    return null
  }

  #attributeFault(start: number, end: number): string | null {
    const walker = this.#innerWalker.reset(this.message, start, end)
    let named = false
    while (walker.next()) {
      if (walker.wireType !== bytesType || (walker.number !== 1 && walker.number !== 2)) continue
      const part = walker.number === 1 ? 'attributes has a name that' : 'attributes has a value that'
      if (walker.number === 1) named = walker.valueEnd > walker.valueStart
      const fault = this.#textFault(part, walker.valueStart, walker.valueEnd, limits.maxAttributeBytes)
      if (fault !== null) return fault
    }
    if (walker.broken) return 'attributes is not a valid map'
    return named ? null : 'attributes has an entry without a name'
  }

  #dataFault(): string | null {
    const fields = this.#fields
    if (fields.dataStart === fields.dataEnd || !this.#dataIsJson()) return null
    const result = this.#text.check(fields.dataStart, fields.dataEnd)
    if (result === 0) return null
    if (beginsWithByteOrderMark(this.message, fields.dataStart)) return `data ${byteOrderMarkFault}`
    return `data ${describeJsonFault(result, fields.dataStart)}`
  }

  #dataIsJson(): boolean {
    const { contentTypeStart, contentTypeEnd } = this.#fields
    const length = contentTypeEnd - contentTypeStart
    if (length === 0) return true
    if (length === jsonContentType.length && sameBytes(this.message, contentTypeStart, jsonContentType, 0, length)) {
      return true
    }
    return isJsonContentType(textOf(this.message, contentTypeStart, contentTypeEnd))
  }

  #grow(): void {
    const length = Math.min(this.starts.length * 4, limits.maxEventsPerMessage + 1)
    this.starts = enlarged(this.starts, new Int32Array(length))
    this.ends = enlarged(this.ends, new Int32Array(length))
    this.laneIndexes = enlarged(this.laneIndexes, new Uint8Array(length))
    this.partitionHashes = enlarged(this.partitionHashes, new Uint32Array(length))
    this.hasPartitionKey = enlarged(this.hasPartitionKey, new Uint8Array(length))
    this.lacksId = enlarged(this.lacksId, new Uint8Array(length))
  }
}

function enlarged<T extends Int32Array | Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from)
  return to
}
