// Writes rows of `events` in the binary format of COPY, directly from the encoded events.
// https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-BINARY, "Binary Format"
//
// Job: every rule of docs/tables.md that maps an event to a row. Texts and JSON are copied as the received bytes;
// nothing is decoded that PostgreSQL parses itself.
// Not its job: sending the rows to the server (land-events.ts).

import {
  defaultContentType,
  defaultSource,
  isJsonContentType,
  uuidFromBytes,
  uuidOfSourceAndId,
} from '../../event/event.ts'
import { type EventFields, EventReader, readAttribute, readTimestamp, textOf } from '../../event/record-batch.ts'
import { joinMicros } from '../../lib/timestamp.ts'
import type { LandingEntry, PoisonEvent } from '../event-store.ts'
import { readUuid } from '../read-uuid.ts'
import { TextCache } from '../text-cache.ts'

/** The header of a COPY: signature, flags, length of the header extension. */
export const copyHeader = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])

/** The trailer of a COPY. */
export const copyTrailer = Buffer.from([0xff, 0xff])

/** The columns of a row, in the order in which they are written. */
export const eventColumns = [
  'event_id',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'received_at',
  'topic',
  'priority',
  'key',
  'data',
  'data_bytes',
  'data_content_type',
  'attributes',
  'stream',
  'log_offset',
] as const

/** PostgreSQL's epoch, 2000-01-01, in seconds since 1970. */
const epochSeconds = 946_684_800

/** Number of values of the lower half of an INT64. */
const int32Values = 2 ** 32

/** Farther from 1970 than this, microseconds do not fit into 64 bits. */
const maxSeconds = 9e12

/** SQLSTATE of "datetime field overflow". */
const outOfRange = '22008'

const jsonbVersion = 1

const noBytes = new Uint8Array(0)
const defaultSourceBytes = Buffer.from(defaultSource)
const defaultContentTypeBytes = Buffer.from(defaultContentType)

/** Max bytes of a row beyond those of its event: lengths, numbers, keys, defaults, values shared with its entry. */
const maxFixedBytes = 512

/** The column values that the events of an entry share. */
export interface EntryColumns {
  readonly entry: LandingEntry
  readonly priority: number
  /** Its number in the table `streams`. */
  readonly stream: number
}

/** One encoded row. */
export interface EncodedRow {
  /** Index of the entry in the call, and of the event in the entry. */
  readonly entry: number
  readonly index: number
  /** Range of its columns in the encoder's bytes. */
  readonly start: number
  readonly end: number
  readonly hasTime: boolean
}

/** Encodes the rows of one call. Its memory grows as needed. */
export class CopyEncoder {
  readonly rows: EncodedRow[] = []
  readonly poison: PoisonEvent[] = []
  #bytes: Buffer
  /** A view of the same memory: it writes numbers faster than a Buffer. */
  #numbers: DataView
  #at = 0
  readonly #reader = new EventReader()
  readonly #contentTypes = new TextCache()
  readonly #key = new Uint8Array(16)

  /** @param memory the rows are written here as long as there is room. */
  constructor(memory: Buffer = Buffer.allocUnsafeSlow(64 * 1024)) {
    this.#bytes = memory
    this.#numbers = viewOf(memory)
  }

  /** The memory that holds the rows. Another encoder may reuse it when the rows are no longer read. */
  get memory(): Buffer {
    return this.#bytes
  }

  /** All rows in the format of COPY: for each row the number of its columns, then the columns. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }

  /** Adds the events of an entry. */
  add(entryNumber: number, columns: EntryColumns): void {
    const { bytes, count } = columns.entry.batch
    const reader = this.#reader.reset(bytes)
    const topic = Buffer.from(columns.entry.position.stream.topic)
    let index = 0
    for (; reader.next(); index++) this.#addRow(bytes, reader.fields, columns, topic, entryNumber, index, false)
    if (index !== count) throw new Error(`an entry has ${index} events; expected ${count}`)
  }

  /**
   * Adds an event once more with its second key, because an event of another source has a row under its UUID.
   * Returns false if its id is not a UUID: then it has only one key.
   */
  addUnderSecondKey(entryNumber: number, index: number, columns: EntryColumns): boolean {
    const { bytes } = columns.entry.batch
    const reader = this.#reader.reset(bytes)
    for (let skipped = 0; skipped <= index; skipped++) reader.next()
    const { idStart, idEnd } = reader.fields
    if (readUuid(bytes, idStart, idEnd, this.#key) === 'none') return false
    const topic = Buffer.from(columns.entry.position.stream.topic)
    this.#addRow(bytes, reader.fields, columns, topic, entryNumber, index, true)
    return true
  }

  #addRow(
    bytes: Uint8Array,
    fields: EventFields,
    { entry, priority, stream }: EntryColumns,
    topic: Uint8Array,
    entryNumber: number,
    index: number,
    isSecondKey: boolean,
  ): void {
    const attributes = fields.attributeCount === 0 ? null : attributesJson(bytes, fields)
    this.#makeRoom(maxFixedBytes + fields.end - fields.start + (attributes?.length ?? 0))
    const start = this.#at
    const received = entry.batch.receivedAtMicros
    this.#int16(eventColumns.length)
    this.#keyAndId(bytes, fields, isSecondKey)
    this.#copied(bytes, fields.sourceStart, fields.sourceEnd, defaultSourceBytes)
    this.#copied(bytes, fields.typeStart, fields.typeEnd, noBytes)
    this.#optional(bytes, fields.subjectStart, fields.subjectEnd)
    if (!this.#time(bytes, fields, received)) {
      this.#at = start
      this.poison.push({ entry: entryNumber, index, databaseCode: outOfRange, message: 'time is out of range' })
      return
    }
    this.#micros(received)
    this.#copied(topic, 0, topic.length, noBytes)
    this.#length(2)
    this.#int16(priority)
    this.#optional(bytes, fields.keyStart, fields.keyEnd)
    this.#data(bytes, fields)
    if (attributes === null) this.#null()
    else this.#json(attributes, 0, attributes.length)
    this.#length(4)
    this.#int32(stream)
    this.#length(8)
    this.#int64(entry.position.offset + index)
    this.rows.push({ entry: entryNumber, index, start, end: this.#at, hasTime: fields.hasTime })
  }

  #makeRoom(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#at + bytes, this.#bytes.length * 2))
    this.#bytes.copy(larger, 0, 0, this.#at)
    this.#bytes = larger
    this.#numbers = viewOf(larger)
  }

  #keyAndId(bytes: Uint8Array, fields: EventFields, isSecondKey: boolean): void {
    const { idStart, idEnd } = fields
    const form = readUuid(bytes, idStart, idEnd, this.#key)
    if (form === 'none' || isSecondKey) {
      const source = textOf(bytes, fields.sourceStart, fields.sourceEnd) || defaultSource
      // The same UUID in any case is the same event.
      const id = form === 'none' ? textOf(bytes, idStart, idEnd) : uuidFromBytes(this.#key)
      this.#key.set(uuidOfSourceAndId(source, id))
    }
    this.#length(16)
    this.#bytes.set(this.#key, this.#at)
    this.#at += 16
    if (form === 'lower case' && !isSecondKey) this.#null()
    else this.#copied(bytes, idStart, idEnd, noBytes)
  }

  /** Writes the time; returns false if PostgreSQL cannot represent it. */
  #time(bytes: Uint8Array, { hasTime, timeStart, timeEnd }: EventFields, received: number): boolean {
    const time = hasTime ? readTimestamp(bytes, timeStart, timeEnd) : null
    if (time === null) {
      this.#micros(received)
      return true
    }
    if (Math.abs(time.seconds) > maxSeconds) return false
    const micros = joinMicros(time.seconds - epochSeconds, Math.floor(time.nanos / 1000))
    this.#length(8)
    if (typeof micros === 'number') this.#int64(micros)
    else this.#at = this.#bytes.writeBigInt64BE(micros, this.#at)
    return true
  }

  #data(bytes: Uint8Array, { dataStart, dataEnd, contentTypeStart, contentTypeEnd }: EventFields): void {
    const isJson =
      contentTypeStart === contentTypeEnd ||
      isJsonContentType(this.#contentTypes.textOf(asBuffer(bytes), contentTypeStart, contentTypeEnd))
    if (dataStart === dataEnd || !isJson) this.#null()
    else this.#json(bytes, dataStart, dataEnd)
    if (dataStart === dataEnd || isJson) this.#null()
    else this.#copied(bytes, dataStart, dataEnd, noBytes)
    this.#copied(bytes, contentTypeStart, contentTypeEnd, defaultContentTypeBytes)
  }

  #micros(micros: number): void {
    this.#length(8)
    this.#int64(micros - epochSeconds * 1e6)
  }

  #int64(value: number): void {
    const high = Math.floor(value / int32Values)
    this.#int32(high)
    this.#int32(value - high * int32Values)
  }

  #int32(value: number): void {
    this.#numbers.setInt32(this.#at, value)
    this.#at += 4
  }

  #int16(value: number): void {
    this.#numbers.setInt16(this.#at, value)
    this.#at += 2
  }

  #length(bytes: number): void {
    this.#int32(bytes)
  }

  #null(): void {
    this.#length(-1)
  }

  #copied(bytes: Uint8Array, start: number, end: number, whenAbsent: Uint8Array): void {
    if (start === end) {
      this.#length(whenAbsent.length)
      this.#copy(whenAbsent, 0, whenAbsent.length)
      return
    }
    this.#length(end - start)
    this.#copy(bytes, start, end)
  }

  #optional(bytes: Uint8Array, start: number, end: number): void {
    if (start === end) this.#null()
    else this.#copied(bytes, start, end, noBytes)
  }

  #json(bytes: Uint8Array, start: number, end: number): void {
    this.#length(1 + end - start)
    this.#bytes[this.#at++] = jsonbVersion
    this.#copy(bytes, start, end)
  }

  #copy(bytes: Uint8Array, start: number, end: number): void {
    if (end - start > 64) {
      this.#bytes.set(bytes.subarray(start, end), this.#at)
    } else {
      // Creating a subarray costs more than copying a few bytes.
      for (let at = start; at < end; at++) this.#bytes[this.#at + at - start] = bytes[at]!
    }
    this.#at += end - start
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Buffer): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The attributes as a JSON object in UTF-8; the last value of a repeated name wins. */
function attributesJson(bytes: Uint8Array, { attributes, attributeCount }: EventFields): Buffer {
  const valueOfName = new Map<string, string>()
  for (let index = 0; index < attributeCount; index++) {
    const { name, value } = readAttribute(bytes, attributes[index * 2]!, attributes[index * 2 + 1]!)
    valueOfName.set(name, value)
  }
  const members = Array.from(valueOfName, ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
  return Buffer.from(`{${members.join(',')}}`)
}
