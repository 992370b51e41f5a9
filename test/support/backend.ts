// Backends of the end-to-end tests: embedded log and store; PostgreSQL with the log on one Redis or on a Cluster.
//
// Job: give the servers of a test their own directory, database and key prefix, and one way to query the rows,
// whichever store holds them. All tests share the services (shared-services.ts).

import type { TestContext } from 'node:test'
import { Client, types } from 'pg'
import { cleanup } from './cleanup.ts'
import { isLongRun } from './depth.ts'
import type { Postgres } from './postgres-server.ts'
import { redisPrefix, sharedCluster, sharedPostgres, sharedRedis } from './shared-services.ts'
import { changeStore, queryStore, type StoredRow, storedRow } from './store-file.ts'
import { tempDirectory } from './temp-directory.ts'

export type BackendName = 'embedded' | 'embedded log, PostgreSQL' | 'redis' | 'cluster'

type Rows = Record<string, unknown>[]

/** Storage of the servers of one test. Pass it unchanged to `startServer` or `runCommand`. */
export interface Home {
  readonly dataDir: string
  readonly env: Readonly<Record<string, string>>
  /** URL of the database; null if it is a file in the directory. */
  readonly postgresUrl: string | null
  /**
   * Queries the store, also while servers run, in SQL that both databases know. The table `landed` is `events` with
   * `event_id` as 32 hexadecimal digits, `time` and `received_at` in microseconds, `data` and `attributes` as text, the
   * topic and the lane of its stream, and `number`: the field `number` of the data.
   */
  query(sql: string): Promise<Rows>
  countRows(condition?: string): Promise<number>
  /** Every row, for the checker. */
  rows(): Promise<StoredRow[]>
  /** Changes the tables, as their owner could. */
  execute(sql: string): Promise<void>
}

export interface Backend {
  readonly name: BackendName
  /** The durability of accepted events with default settings. */
  readonly durability: 'disk' | 'broker'
  home(t: TestContext): Promise<Home>
}

/** The backends with these names; the Cluster in the long run only. */
export function backends(...names: readonly BackendName[]): Backend[] {
  const chosen = names.filter((name) => isLongRun || name !== 'cluster')
  return chosen.map((name) => ({
    name,
    durability: name === 'redis' || name === 'cluster' ? 'broker' : 'disk',
    home: async (t) => (name === 'embedded' ? embeddedHome(t) : postgresHome(t, await logEnvironment(name))),
  }))
}

/** Backends of a story that another one shows in `npm test`. */
export function inLongRun(...names: readonly BackendName[]): readonly BackendName[] {
  return isLongRun ? names : []
}

/** A home with its own database; the settings choose the log. */
export async function postgresHome(
  t: TestContext,
  logEnv: Readonly<Record<string, string>>,
  server: Promise<Postgres> = sharedPostgres(),
): Promise<Home> {
  const postgres = await server
  const url = await postgres.createDatabase()
  cleanup(t, () => postgres.dropDatabase(url))
  const query = (sql: string) => queryPostgres(url, `WITH landed AS (${landedInPostgres}) ${sql}`)
  return {
    dataDir: tempDirectory(t),
    env: { ...logEnv, MILLRACE_POSTGRES_URL: url },
    postgresUrl: url,
    query,
    ...looksBy(query),
    execute: async (sql) => void (await queryPostgres(url, sql)),
  }
}

/** Settings for a new, empty log on this Redis. */
export function redisEnvironment(url: string): Record<string, string> {
  return { MILLRACE_REDIS_URL: url, MILLRACE_REDIS_PREFIX: redisPrefix() }
}

function embeddedHome(t: TestContext): Home {
  const dataDir = tempDirectory(t)
  const query = async (sql: string) => queryStore(dataDir, `WITH landed AS (${landedInSqlite}) ${sql}`)
  return {
    dataDir,
    env: {},
    postgresUrl: null,
    query,
    ...looksBy(query),
    execute: async (sql) => changeStore(dataDir, sql),
  }
}

async function logEnvironment(name: Exclude<BackendName, 'embedded'>): Promise<Record<string, string>> {
  if (name === 'embedded log, PostgreSQL') return {}
  return redisEnvironment((await (name === 'redis' ? sharedRedis() : sharedCluster())).url)
}

function looksBy(query: Home['query']): Pick<Home, 'countRows' | 'rows'> {
  return {
    countRows: async (condition = '1 = 1') => {
      const [row] = await query(`SELECT count(*) AS n FROM landed WHERE ${condition}`)
      return Number(row?.n)
    },
    rows: async () =>
      (await query('SELECT event_id AS key, id, source, topic, stream, log_offset FROM landed')).map(storedRow),
  }
}

/** Columns that both selections return unchanged. */
const sameColumns = `e.id, source, type, subject, e.topic AS topic, priority, key, data_bytes, data_content_type, e.stream,
  log_offset, s.topic AS stream_topic, s.lane AS lane`

const landedInSqlite = `SELECT lower(hex(event_id)) AS event_id, time, received_at, data, attributes,
  CASE WHEN data IS NOT NULL THEN json_extract(data, '$.number') END AS number, ${sameColumns}
  FROM events e JOIN streams s USING (stream)`

const landedInPostgres = `SELECT replace(event_id::text, '-', '') AS event_id,
  (extract(epoch FROM time) * 1000000)::bigint AS time, (extract(epoch FROM received_at) * 1000000)::bigint AS received_at,
  data::text AS data, attributes::text AS attributes, (data->>'number')::bigint AS number, ${sameColumns}
  FROM events e JOIN streams s USING (stream)`

/** Type ids of bigint and numeric. In general their values may exceed a JavaScript number; in the tests they do not. */
const numberTypes: readonly number[] = [types.builtins.INT8, types.builtins.NUMERIC]

async function queryPostgres(connectionString: string, sql: string): Promise<Rows> {
  const getTypeParser = (type: number, format?: 'text') =>
    numberTypes.includes(type) ? Number : types.getTypeParser(type, format)
  const client = new Client({ connectionString, types: { getTypeParser: getTypeParser as typeof types.getTypeParser } })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}
