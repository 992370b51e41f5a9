// Reads the columns of rows from the encoded bytes of a batch.
//
// Job: every rule of docs/tables.md that maps an event to a row.
// Not its job: the statement that stores it (insert-event.ts).
//
// This is the hot path of landing. Repeated texts are cached as strings (TextCache) and the payload is bound as bytes;
// nothing else is allocated for an event without optional fields.

import { defaultContentType, defaultSource, isJsonContentType, uuidOfSourceAndId } from '../../event/event.ts'
import type { EventFields } from '../../event/record-batch.ts'
import { bytesType, FieldWalker, varintType } from '../../lib/protobuf-walk.ts'
import { SqliteFailure } from '../../lib/sqlite/failure.ts'
import { joinMicros, type Micros } from '../../lib/timestamp.ts'
import { readUuid } from '../read-uuid.ts'
import { TextCache } from '../text-cache.ts'
import type { EntryColumns, EventRow } from './event-row.ts'

/** SQLITE_MISMATCH: the code for a value that does not fit the type of its column. */
const mismatchCode = 20

/** Farther from 1970 than this, microseconds do not fit into 64 bits. */
const maxSeconds = 9e12

/** Reads rows from the bytes of a batch. */
export class EventRowReader {
  readonly #texts = new TextCache()
  readonly #walker = new FieldWalker()
  #bytes: Buffer = Buffer.alloc(0)

  /** Throws a SqliteFailure of kind `row` if a value does not fit into its column. */
  read(row: EventRow, bytes: Buffer, fields: EventFields, shared: EntryColumns, index: number): void {
    this.#bytes = bytes
    row.entry = shared.entry
    row.index = index
    row.source = this.#repeated(fields.sourceStart, fields.sourceEnd, defaultSource)
    row.type = this.#repeated(fields.typeStart, fields.typeEnd, '')
    row.subject = this.#text(fields.subjectStart, fields.subjectEnd)
    row.receivedAtMicros = shared.receivedAtMicros
    row.topic = shared.topic
    row.priority = shared.priority
    row.key = this.#text(fields.keyStart, fields.keyEnd)
    row.attributes = fields.attributeCount === 0 ? null : this.#attributesJson(fields)
    row.stream = shared.stream
    row.logOffset = shared.logOffset + index
    this.#readId(row, fields)
    this.#readData(row, fields)
    row.time = fields.hasTime ? this.#timeMicros(fields.timeStart, fields.timeEnd) : null
  }

  #readId(row: EventRow, { idStart, idEnd }: EventFields): void {
    const form = readUuid(this.#bytes, idStart, idEnd, row.eventId)
    row.idIsUuid = form !== 'none'
    if (form === 'lower case') {
      row.id = null
      return
    }
    row.id = this.#bytes.toString('utf8', idStart, idEnd)
    if (form === 'none') row.eventId.set(uuidOfSourceAndId(row.source, row.id))
  }

  #readData(row: EventRow, { dataStart, dataEnd, contentTypeStart, contentTypeEnd }: EventFields): void {
    row.dataContentType = this.#repeated(contentTypeStart, contentTypeEnd, defaultContentType)
    row.data = row.dataBytes = null
    if (dataStart === dataEnd) return
    const data = this.#bytes.subarray(dataStart, dataEnd)
    if (isJsonContentType(row.dataContentType)) row.data = data
    else row.dataBytes = data
  }

  #repeated(start: number, end: number, whenAbsent: string): string {
    return start === end ? whenAbsent : this.#texts.textOf(this.#bytes, start, end)
  }

  #text(start: number, end: number): string | null {
    return start === end ? null : this.#bytes.toString('utf8', start, end)
  }

  #attributesJson({ attributes, attributeCount }: EventFields): string {
    // A Map, so that the last value of a repeated name wins and __proto__ is an ordinary name.
    const valueOfName = new Map<string, string>()
    for (let index = 0; index < attributeCount; index++) {
      const walker = this.#walker.reset(this.#bytes, attributes[index * 2]!, attributes[index * 2 + 1]!)
      let name = ''
      let value = ''
      while (walker.next()) {
        if (walker.wireType !== bytesType) continue
        if (walker.number === 1) name = this.#repeated(walker.valueStart, walker.valueEnd, '')
        if (walker.number === 2) value = this.#bytes.toString('utf8', walker.valueStart, walker.valueEnd)
      }
      valueOfName.set(name, value)
    }
    let json = ''
    for (const [name, value] of valueOfName)
      json += `${json === '' ? '{' : ','}${JSON.stringify(name)}:${JSON.stringify(value)}`
    return `${json}}`
  }

  /** Like readTimestamp of record-batch.ts, but without allocating an object per event. */
  #timeMicros(start: number, end: number): Micros {
    const walker = this.#walker.reset(this.#bytes, start, end)
    let seconds = 0
    let nanos = 0
    while (walker.next()) {
      if (walker.wireType !== varintType) continue
      if (walker.number === 1) seconds = (walker.valueHigh | 0) * 0x1_0000_0000 + walker.valueLow
      if (walker.number === 2) nanos = walker.valueLow | 0
    }
    if (Math.abs(seconds) > maxSeconds)
      throw new SqliteFailure('row', `time is out of range: ${seconds} seconds`, mismatchCode)
    return joinMicros(seconds, Math.floor(nanos / 1000))
  }
}
