// A PostgreSQL server for one block, with default settings: it flushes at every commit.

import { PostgresServer } from '../test/support/postgres-server.ts'
import { type ExpectedNumbers, numbersProblems } from './gate.ts'
import { payload } from './messages.ts'
import { cpuSecondsOf } from './process-usage.ts'

/** Runs the work with a server in the directory and the URL of an empty database on it. */
export async function withPostgres<T>(
  directory: string,
  work: (server: PostgresServer, url: string) => Promise<T>,
): Promise<T> {
  const server = await PostgresServer.create({ parent: directory, fsync: true })
  try {
    return await work(server, await server.createDatabase())
  } finally {
    await server.destroy()
  }
}

/** User and system time of the server's current processes, in seconds. */
export function postgresCpuSeconds(server: PostgresServer): number {
  return server.pids.reduce((sum, pid) => sum + cpuSecondsOf(pid), 0)
}

/** The problems of the rows of `events`; empty when there are none. */
export async function postgresNumbersProblems(
  server: PostgresServer,
  url: string,
  expected: ExpectedNumbers,
  { payloadBytes }: { readonly payloadBytes: number },
): Promise<string[]> {
  const number = `(data->>'n')::bigint`
  const statement = `SELECT count(*)::int AS rows, count(DISTINCT ${number})::int AS distinct, sum(${number})::float8 AS sum,
    (count(*) FILTER (WHERE data - 'n' IS DISTINCT FROM $1::jsonb - 'n'))::int AS other FROM events`
  const [found] = await server.query(statement, [payload(0, payloadBytes).toString()], url)
  const { rows, distinct, sum, other } = found as Record<'rows' | 'distinct' | 'sum' | 'other', number>
  const problems = numbersProblems({ what: 'row', count: rows, repeated: rows - distinct, sum }, expected)
  if (other > 0) problems.push(`${other} rows have a wrong payload`)
  return problems
}
