// Reads the rows of landed events. What comes back is bounded by the statement itself.

import type { Pool } from 'pg'
import { type Lane, lanes, priorityOfLane } from '../../event/event.ts'
import { parseMicros } from '../../lib/timestamp.ts'
import type { StoredEvent } from '../../pipeline/stored-event.ts'
import { dataTooLong, maxDataBytes } from '../event-store.ts'
import { AnswerTooLong } from './bounded-client.ts'
import { readSql } from './sql-file.ts'
import { sqlStateOf } from './sqlstate.ts'

/** A row as node-postgres returns it: bigint columns are strings. */
export interface EventRow {
  readonly eventId: string
  readonly id: string | null
  readonly source: string
  readonly type: string
  readonly subject: string | null
  readonly timeMicros: string
  readonly receivedAtMicros: string
  readonly topic: string
  readonly priority: number
  readonly key: string | null
  readonly data: string | null
  readonly dataBytes: Buffer | null
  /** In bytes, also when the data is left out because it is too long. */
  readonly dataLength: number
  readonly dataContentType: string
  readonly attributes: Readonly<Record<string, string>> | null
  readonly logOffset: string
  /** Null, as the three others, if the stream is unknown. */
  readonly streamTopic: string | null
  readonly partition: number | null
  readonly lane: Lane | null
  readonly epoch: number | null
  /** Null if data is not read. */
  readonly longNumbers: number | null
  readonly dataFailure: string | null
}

/** Each can take 131,072 digits before and 16,383 after the point. */
const maxLongNumbers = 20

export class EventReader {
  readonly #readEvents = readSql('read-events')

  /**
   * Returns the rows with these keys in the order of the keys, up to the row whose data reaches `maxBytes`. Data that is
   * left out does not count. The server makes the data of all of them. Rejects with the driver's error.
   * @param dataFailure all data and attributes are left out for this reason; null: only data that is too long.
   */
  async read(
    client: Pick<Pool, 'query'>,
    eventIds: readonly string[],
    maxBytes: number,
    dataFailure: string | null,
  ): Promise<EventRow[]> {
    const parameters = [eventIds, maxBytes, maxDataBytes, maxLongNumbers, dataFailure === null]
    const { rows } = await client.query<Omit<EventRow, 'dataFailure'>>(this.#readEvents, parameters)
    return rows.map((row) => ({ ...row, dataFailure }))
  }
}

/** Why the data or the attributes of some row cannot be returned; null for any other failure. */
export function dataFailureOf(error: unknown): string | null {
  const sqlState = sqlStateOf(error)
  // The text is too long for the server, or for its memory.
  const cannotMake = sqlState === '54000' || sqlState === '53200'
  if (!cannotMake && !(error instanceof AnswerTooLong)) return null
  const cause = cannotMake ? `${sqlState}: ${(error as Error).message}` : (error as Error).message
  return `the database cannot return the data and the attributes: ${cause}`
}

function dataOmittedOf({ dataFailure, longNumbers, dataLength }: EventRow): string | null {
  if (dataFailure !== null) return dataFailure
  if (longNumbers === null || longNumbers <= maxLongNumbers) return dataTooLong(dataLength)
  return `the data has ${longNumbers} numbers of more than 400 digits written out: read it from the database`
}

const laneOfNumber = new Map<number, Lane>(lanes.map((lane) => [priorityOfLane[lane], lane]))

export function toStoredEvent(row: EventRow): StoredEvent {
  return {
    eventId: row.eventId,
    id: row.id ?? row.eventId,
    source: row.source,
    type: row.type,
    subject: row.subject ?? '',
    timeMicros: parseMicros(row.timeMicros),
    receivedAtMicros: Number(row.receivedAtMicros),
    topic: row.topic,
    lane: laneOfNumber.get(row.priority) ?? 'normal',
    key: row.key ?? '',
    data: row.data === null ? row.dataBytes : Buffer.from(row.data),
    isJson: row.data !== null,
    dataOmitted: dataOmittedOf(row),
    dataContentType: row.dataContentType,
    attributes: new Map(Object.entries(row.attributes ?? {})),
  }
}
