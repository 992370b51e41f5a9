// PostgreSQL for the suite of every store, directly or through a pooler.

import { openStore } from '../../src/store/open-store.ts'
import type { Postgres } from '../support/postgres-server.ts'
import type { EventStoreHarness, EventTableRow } from './event-store.suite.ts'
import { startStoreProcess } from './store-process.ts'

interface Parts {
  /** Started before the first test. */
  readonly server: () => Postgres
  /** The URL under which the store connects to a database; by default the database's own. */
  readonly through?: (url: string) => string
}

export function postgresHarness(driver: string, { server, through = (url) => url }: Parts): EventStoreHarness {
  return {
    driver,
    async create() {
      const url = await server().createDatabase()
      const config = { dataDir: '', diskReserveBytes: 0, postgresUrl: through(url) }
      const query = (statement: string, parameters?: readonly unknown[]) => server().query(statement, parameters, url)
      return {
        open: () => openStore(config),
        openInProcess: () => startStoreProcess(config),
        countRows: async () => Number((await query('SELECT count(*) AS count FROM events'))[0]!.count),
        readRow: async (eventId) => readRow(await query(readRowStatement, [eventId])),
        refuseType: async (type) => {
          await query(`ALTER TABLE events ADD CONSTRAINT refuse CHECK (type <> '${type}')`)
        },
        skipType: async (type) => {
          await query(`CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
            CREATE TRIGGER skip BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.type = '${type}') EXECUTE FUNCTION skip()`)
        },
        // The SQLSTATE of a plain RAISE EXCEPTION, P0001, is not in the closed list.
        refuseLetters: async () => {
          await query(`CREATE FUNCTION pick() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              IF NEW.type = 'skipped' THEN RETURN NULL; END IF;
              IF NEW.type = 'refused' THEN RAISE EXCEPTION 'no such letter'; END IF;
              RETURN NEW; END $$;
            CREATE TRIGGER pick BEFORE INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION pick()`)
        },
        acceptLetters: async () => {
          await query('DROP FUNCTION pick CASCADE')
        },
        destroy: () => server().dropDatabase(url),
      }
    },
  }
}

const readRowStatement = `SELECT event_id, id, source, type, subject, (extract(epoch FROM time) * 1000000)::bigint AS time,
  (extract(epoch FROM received_at) * 1000000)::bigint AS received_at, events.topic, priority, key, data::text AS data,
  data_bytes, data_content_type, attributes, log_offset, streams.topic AS stream_topic, partition, lane, epoch
  FROM events JOIN streams USING (stream) WHERE event_id = $1`

function readRow([row]: readonly Record<string, unknown>[]): EventTableRow | null {
  if (row === undefined) return null
  return {
    eventId: row.event_id as string,
    id: row.id as string | null,
    source: row.source as string,
    type: row.type as string,
    subject: row.subject as string | null,
    timeMicros: BigInt(row.time as string),
    receivedAtMicros: BigInt(row.received_at as string),
    topic: row.topic as string,
    priority: row.priority as number,
    key: row.key as string | null,
    data: row.data as string | null,
    dataBytes: row.data_bytes as Uint8Array | null,
    dataContentType: row.data_content_type as string,
    attributes: row.attributes as Record<string, string> | null,
    stream: {
      topic: row.stream_topic as string,
      partition: row.partition as number,
      lane: row.lane as string,
      epoch: row.epoch as number,
    },
    logOffset: Number(row.log_offset),
  }
}
