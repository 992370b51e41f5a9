// W9 with PostgreSQL: landing alone. The batches are ready in the log; then a server starts that lands them and takes
// nothing new.

import { setTimeout as sleep } from 'node:timers/promises'
import { runBlock } from '../block.ts'
import { fillLog } from '../fill-log.ts'
import { expectedRows } from '../messages.ts'
import { postgresCpuSeconds, postgresNumbersProblems, withPostgres } from '../postgres.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { type Service, startService, workerOnly } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'
import type { LandingOptions } from './landing.ts'

/** The first events warm the process up and do not count. */
const warmUpShare = 0.25
const lookMs = 20

await runBlock(({ events: wanted, eventsPerMessage, payloadBytes, duplicateEvery }: LandingOptions) =>
  withTempDirectory((directory) =>
    withPostgres(directory, async (postgres, url) => {
      const filled = await fillLog(directory, wanted, { eventsPerMessage, payloadBytes, duplicateEvery })
      await filled.service.stop()
      const expected = expectedRows(filled.events, duplicateEvery)

      const service = await startService(directory, { ...workerOnly, MILLRACE_POSTGRES_URL: url })
      const cpuSeconds = () => cpuSecondsOf(service.pid) + postgresCpuSeconds(postgres)
      const firstRows = await reach(service, expected.rows * warmUpShare)
      const cpuBefore = cpuSeconds()
      const startMs = performance.now()
      await reach(service, expected.rows)
      const seconds = (performance.now() - startMs) / 1000
      const serviceCpuSeconds = cpuSeconds() - cpuBefore
      const landings = await service.counter('millrace_landing_duration_seconds_count')
      await service.stop()

      const details = {
        landings,
        rowsPerLanding: Math.round(expected.rows / landings),
        duplicates: filled.events - expected.rows,
      }
      const problems = await postgresNumbersProblems(postgres, url, expected)
      return { events: expected.rows - firstRows, seconds, serviceCpuSeconds, durability: 'disk', problems, details }
    }),
  ),
)

/** Resolves when so many rows have landed, with their number. */
async function reach(service: Service, rows: number): Promise<number> {
  for (;;) {
    const landed = await service.counter('millrace_landing_rows_total')
    if (landed >= rows) return landed
    await sleep(lookMs)
  }
}
