// W9 with PostgreSQL: landing alone. The batches are already in the log; a server starts and lands them, without new
// events.

import { runBlock } from '../block.ts'
import { fillLog } from '../fill-log.ts'
import { reachLanded } from '../landed-counter.ts'
import { expectedRows } from '../messages.ts'
import { postgresCpuSeconds, postgresNumbersProblems, withPostgres } from '../postgres.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'
import type { LandingOptions } from './landing.ts'

/** Share of the events that warm up the process and do not count. */
const warmUpShare = 0.25

await runBlock(({ events: wanted, eventsPerMessage, payloadBytes, duplicateEvery }: LandingOptions) =>
  withTempDirectory((directory) =>
    withPostgres(directory, async (postgres, url) => {
      const filled = await fillLog(directory, wanted, { eventsPerMessage, payloadBytes, duplicateEvery })
      await filled.service.stop()
      const expected = expectedRows(filled.events, duplicateEvery)

      const service = await startService(directory, { MILLRACE_POSTGRES_URL: url })
      const cpuSeconds = () => cpuSecondsOf(service.pid) + postgresCpuSeconds(postgres)
      const firstRows = await reachLanded(service, expected.rows * warmUpShare)
      const cpuBefore = cpuSeconds()
      const startMs = performance.now()
      await reachLanded(service, expected.rows)
      const seconds = (performance.now() - startMs) / 1000
      const serviceCpuSeconds = cpuSeconds() - cpuBefore
      const landings = await service.counter('millrace_landing_duration_seconds_count')
      await service.stop()

      const details = {
        landings,
        rowsPerLanding: Math.round(expected.rows / landings),
        duplicates: filled.events - expected.rows,
      }
      const problems = await postgresNumbersProblems(postgres, url, expected, { payloadBytes })
      return { events: expected.rows - firstRows, seconds, serviceCpuSeconds, durability: 'disk', problems, details }
    }),
  ),
)
