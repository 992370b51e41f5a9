// W1: ingest with durable acknowledgement, landing off.

import { runBlock } from '../block.ts'
import { loggedNumbersProblems } from '../gate.ts'
import { measureStream, type StreamOptions } from '../measure-stream.ts'
import { expectedRows } from '../messages.ts'
import { ingestOnly, startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

interface IngestOptions extends StreamOptions {
  /** Whether the server asks for a key, and the generator sends it. */
  readonly withKey?: boolean
}

await runBlock((options: IngestOptions) =>
  withTempDirectory(async (directory) => {
    const service = await startService(
      directory,
      options.withKey ? { ...ingestOnly, MILLRACE_AUTH: 'keys' } : ingestOnly,
    )
    const measured = await measureStream(service, options)
    const logCommits = await service.counter('millrace_log_commits_total')
    await service.stop()
    const { events, seconds, serviceCpuSeconds, eventsInAll } = measured
    const problems = [...measured.problems, ...loggedNumbersProblems(directory, expectedRows(eventsInAll))]
    const details = { ...measured.details, logCommits, eventsPerCommit: Math.round(eventsInAll / logCommits) }
    return { events, seconds, serviceCpuSeconds, durability: 'disk', problems, details }
  }),
)
