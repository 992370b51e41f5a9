// Reads log.db directly. Only works while no server runs, because the log locks the file exclusively.

import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fromBinary } from '@bufbuild/protobuf'
import { type Event, EventSchema, RecordBatchSchema } from '../../src/gen/millrace/v1/event_pb.ts'

export interface StoredLogEntry {
  readonly topic: string
  readonly lane: string
  readonly firstOffset: number
  readonly eventCount: number
  readonly batch: Uint8Array
}

/** The retained entries of a topic's own streams, oldest first. */
export function readLogEntries(dataDir: string, topic: string): StoredLogEntry[] {
  const database = new DatabaseSync(join(dataDir, 'log.db'))
  try {
    return database
      .prepare(
        `SELECT t.name AS topic, s.lane, e.first_offset AS firstOffset, e.event_count AS eventCount, e.batch
         FROM entries e JOIN streams s USING (stream) JOIN topics t USING (topic_number)
         WHERE t.name = ? AND s.group_number = 0 ORDER BY e.append_number`,
      )
      .all(topic) as unknown as StoredLogEntry[]
  } finally {
    database.close()
  }
}

/** A dead letter: its reason and its event; the event is null if its entry was damaged. */
export interface StoredDeadLetter {
  readonly code: string
  readonly message: string
  readonly attempts: number
  readonly event: Event | null
}

/** The dead letters of all topics, oldest first. */
export function readDeadLetters(dataDir: string): StoredDeadLetter[] {
  return readLogEntries(dataDir, '_dead').flatMap(({ batch }) =>
    fromBinary(RecordBatchSchema, batch).events.map(({ attributes, data, dataContentType }) => ({
      code: attributes.code ?? '',
      message: attributes.message ?? '',
      attempts: Number(attributes.attempts),
      event: dataContentType === 'application/protobuf' ? fromBinary(EventSchema, data) : null,
    })),
  )
}
