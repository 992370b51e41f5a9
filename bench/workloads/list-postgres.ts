// W9 with PostgreSQL: the time of the newest page, GET /v1/events without a filter, in a table of a million rows.

import { runBlock } from '../block.ts'
import { withPostgres } from '../postgres.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface ListOptions {
  readonly rows: number
  readonly payloadBytes: number
  /** Over how many seconds the rows were received, and the age of the newest one. */
  readonly spreadSeconds: number
  readonly ageSeconds: number
}

const limit = 100
/** The first pages warm up the server and bring PostgreSQL's index up to date. */
const warmUpPages = 5
const slowPageMs = 100
const measuredPages = 50
const summarizedWithinMs = 10_000

const insertRows = `INSERT INTO events
  SELECT gen_random_uuid(), NULL, '/bench', 'bench.reading', NULL, received_at, received_at, 'events', 2, NULL,
    jsonb_build_object('n', number, 'pad', repeat('x', $2::int)), NULL, 'application/json', NULL, 1, number
  FROM (
    SELECT number, now() - $4 * interval '1 second' - $3 * interval '1 second' * (1 - number / $1::float8) AS received_at
    FROM generate_series(1, $1::int) AS number
  ) AS numbered`

await runBlock(({ rows, payloadBytes, spreadSeconds, ageSeconds }: ListOptions) =>
  withTempDirectory((directory) =>
    withPostgres(directory, async (postgres, url) => {
      const service = await startService(directory, { MILLRACE_POSTGRES_URL: url })
      await postgres.query(insertRows, [rows, payloadBytes - 20, spreadSeconds, ageSeconds], url)
      const firstPageMs = await pageMs(service.http)
      const giveUpAtMs = performance.now() + summarizedWithinMs
      while ((await pageMs(service.http)) > slowPageMs && performance.now() < giveUpAtMs);
      for (let page = 1; page < warmUpPages; page++) await pageMs(service.http)

      const cpuBefore = cpuSecondsOf(service.pid)
      const times: number[] = []
      for (let page = 0; page < measuredPages; page++) times.push(await pageMs(service.http))
      const serviceCpuSeconds = cpuSecondsOf(service.pid) - cpuBefore
      await service.stop()

      times.sort((a, b) => a - b)
      const details = { firstPageMs, medianPageMs: times[measuredPages >>> 1]!, slowestPageMs: times.at(-1)! }
      const seconds = times.reduce((sum, ms) => sum + ms, 0) / 1000
      const events = measuredPages * limit
      return { events, seconds, serviceCpuSeconds, durability: 'none', problems: [], details }
    }),
  ),
)

/** Requests one page and returns its time in milliseconds. Throws when it is not full. */
async function pageMs(http: string): Promise<number> {
  const startMs = performance.now()
  const response = await fetch(`http://${http}/v1/events?limit=${limit}`)
  const { events } = (await response.json()) as { events: unknown[] }
  if (events.length !== limit) throw new Error(`the page has ${events.length} events, expected ${limit}`)
  return performance.now() - startMs
}
