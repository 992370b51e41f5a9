// W9: landing alone. The batches are already in the log; a server starts and lands them, without new events.

import { runBlock } from '../block.ts'
import { fillLog } from '../fill-log.ts'
import { storedNumbersProblems } from '../gate.ts'
import { LandedRows } from '../landed-rows.ts'
import { expectedRows } from '../messages.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface LandingOptions {
  readonly events: number
  readonly eventsPerMessage: number
  readonly payloadBytes: number
  /** Every nth event is sent twice; 0: none is. */
  readonly duplicateEvery: number
  readonly hasRandomIds: boolean
}

/** Share of the rows that warm up the process and do not count. */
const warmUpShare = 0.25

await runBlock(({ events: wanted, ...shape }: LandingOptions) =>
  withTempDirectory(async (directory) => {
    const filled = await fillLog(directory, wanted, shape)
    await filled.service.stop()
    const expected = expectedRows(filled.events, shape.duplicateEvery)

    const service = await startService(directory)
    const landed = new LandedRows(directory)
    const firstRows = await landed.reach(expected.rows * warmUpShare)
    const cpuBefore = cpuSecondsOf(service.pid)
    const startMs = performance.now()
    await landed.reach(expected.rows)
    const seconds = (performance.now() - startMs) / 1000
    const serviceCpuSeconds = cpuSecondsOf(service.pid) - cpuBefore
    landed.close()
    const landings = await service.counter('millrace_landing_duration_seconds_count')
    await service.stop()

    const details = {
      landings,
      rowsPerLanding: Math.round(expected.rows / landings),
      duplicates: filled.events - expected.rows,
      startedInSeconds: service.startedInSeconds,
    }
    const problems = storedNumbersProblems(directory, expected)
    return { events: expected.rows - firstRows, seconds, serviceCpuSeconds, durability: 'disk', problems, details }
  }),
)
