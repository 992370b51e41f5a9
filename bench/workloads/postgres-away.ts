// W9 with PostgreSQL: an outage of PostgreSQL under a steady intake, which continues after the outage. Measures the memory
// of the server during the outage, and how fast the backlog lands afterwards.

import { setTimeout as sleep } from 'node:timers/promises'
import { runBlock } from '../block.ts'
import { expectedRows, MessageFactory } from '../messages.ts'
import { postgresCpuSeconds, postgresNumbersProblems, withPostgres } from '../postgres.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { RssWatch } from '../rss-watch.ts'
import { Generator } from '../send-messages.ts'
import { roomForAll, startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface PostgresAwayOptions {
  readonly eventsPerSecond: number
  readonly eventsPerMessage: number
  readonly payloadBytes: number
  readonly warmSeconds: number
  readonly awaySeconds: number
}

const pollMs = 20
const mebibyte = 1024 * 1024

await runBlock((options: PostgresAwayOptions) =>
  withTempDirectory((directory) =>
    withPostgres(directory, async (postgres, url) => {
      const { eventsPerSecond, eventsPerMessage, payloadBytes, warmSeconds, awaySeconds } = options
      const service = await startService(directory, { ...roomForAll, MILLRACE_POSTGRES_URL: url })
      const watch = new RssWatch(service.pid)
      const generator = new Generator(service.address, 1, new MessageFactory({ eventsPerMessage, payloadBytes }))
      let accepted = 0
      const send = async (seconds: number): Promise<void> => {
        accepted += (await generator.send({ method: 'PublishStream', seconds, eventsPerSecond })).accepted
      }
      const landed = () => service.counter('millrace_landing_rows_total')
      /** Resolves with the number of landed rows when it reaches `rows`. */
      const reach = async (rows: number): Promise<number> => {
        for (;;) {
          const count = await landed()
          if (count >= rows) return count
          await sleep(pollMs)
        }
      }

      await send(warmSeconds)
      const landedBefore = await reach(accepted)
      const base = watch.take()
      await postgres.stop()
      await send(awaySeconds)
      const gathered = accepted - landedBefore
      const away = watch.take()
      await postgres.start()

      let isBehind = true
      const intake = (async () => {
        while (isBehind) await send(1)
      })()
      const backMs = performance.now()
      const firstRows = await reach(landedBefore + 1)
      const cpuBefore = cpuSecondsOf(service.pid) + postgresCpuSeconds(postgres)
      const startMs = performance.now()
      const lastRows = await reach(landedBefore + gathered)
      const seconds = (performance.now() - startMs) / 1000
      const serviceCpuSeconds = cpuSecondsOf(service.pid) + postgresCpuSeconds(postgres) - cpuBefore
      isBehind = false
      await intake
      await reach(accepted)
      const catchingUp = watch.take()
      watch.close()
      generator.close()
      await service.stop()

      const rowsPerSecond = (lastRows - firstRows) / seconds
      const details = {
        gathered,
        secondsUntilFirst: (startMs - backMs) / 1000,
        rssBaseMiB: Math.round(base.lastBytes / mebibyte),
        rssGrowthMiB: Math.round((away.highestBytes - base.lastBytes) / mebibyte),
        // Not part of the growth: landing at full speed needs this memory at any time.
        rssCatchingUpMiB: Math.round(catchingUp.highestBytes / mebibyte),
        catchUpPerIntake: rowsPerSecond / eventsPerSecond,
        intakePerCatchUp: eventsPerSecond / rowsPerSecond,
      }
      const problems = await postgresNumbersProblems(postgres, url, expectedRows(accepted), options)
      return { events: lastRows - firstRows, seconds, serviceCpuSeconds, durability: 'disk', problems, details }
    }),
  ),
)
