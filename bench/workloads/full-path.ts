// W2: the full path, from the producer's message to the committed row, until every row is committed.

import { runBlock } from '../block.ts'
import { storedNumbersProblems } from '../gate.ts'
import { LandedRows } from '../landed-rows.ts'
import { measureStream, type StreamOptions } from '../measure-stream.ts'
import { expectedRows } from '../messages.ts'
import { startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

await runBlock((options: StreamOptions) =>
  withTempDirectory(async (directory) => {
    const service = await startService(directory)
    const landed = new LandedRows(directory)
    // With `wait` the backlog grows to the server's limit; then the producer sends as fast as rows land.
    const measured = await measureStream(service, options, {
      shape: { overflow: 'wait' },
      untilDone: (eventsInAll) => landed.reach(eventsInAll),
    })
    landed.close()
    const logCommits = await service.counter('millrace_log_commits_total')
    const landings = await service.counter('millrace_landing_duration_seconds_count')
    await service.stop()
    const { events, seconds, serviceCpuSeconds, eventsInAll } = measured
    const problems = [...measured.problems, ...storedNumbersProblems(directory, expectedRows(eventsInAll))]
    const details = { ...measured.details, logCommits, landings, rowsPerLanding: Math.round(eventsInAll / landings) }
    return { events, seconds, serviceCpuSeconds, durability: 'disk', problems, details }
  }),
)
