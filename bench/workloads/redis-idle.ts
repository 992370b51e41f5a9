// The cost of an idle server, and of a server whose Redis or PostgreSQL is down: its CPU time, and the commands that it
// sends to Redis.

import { setTimeout as sleep } from 'node:timers/promises'
import { runBlock } from '../block.ts'
import { reachLanded } from '../landed-counter.ts'
import { expectedRows, MessageFactory } from '../messages.ts'
import { postgresNumbersProblems, withPostgres } from '../postgres.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { countCommands, onRedis, withRedis } from '../redis.ts'
import { Generator } from '../send-messages.ts'
import { startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface RedisIdleOptions {
  readonly seconds: number
  readonly payloadBytes: number
}

const flush = 'everysec'
const eventsPerMessage = 100
const eventsAtATime = 1000

await runBlock((options: RedisIdleOptions) =>
  withTempDirectory((directory) =>
    withRedis(directory, flush, (redis) =>
      withPostgres(directory, async (postgres, url) => {
        const { seconds, payloadBytes } = options
        const service = await startService(directory, { ...onRedis(redis, flush), MILLRACE_POSTGRES_URL: url })
        const messages = new MessageFactory({ eventsPerMessage, payloadBytes })
        const generator = new Generator(service.address, 1, messages)
        const send = async () => {
          const plan = { method: 'PublishStream', seconds: 60, maxEvents: eventsAtATime } as const
          const { accepted } = await generator.send(plan)
          if (accepted !== eventsAtATime) throw new Error(`only ${accepted} events were accepted`)
        }
        /** CPU time of the server process, in percent of one core. */
        const cpuPercent = async (): Promise<number> => {
          const before = cpuSecondsOf(service.pid)
          const startMs = performance.now()
          await sleep(seconds * 1000)
          return (100 * (cpuSecondsOf(service.pid) - before)) / ((performance.now() - startMs) / 1000)
        }
        const startMs = performance.now()
        await send()
        await reachLanded(service, messages.events)
        await sleep(seconds * 1000)
        const commands = await countCommands(redis)
        const idleCpuPercent = await cpuPercent()
        const idleCommandsPerSecond = commands.count / seconds
        commands.close()

        await postgres.stop()
        // Events wait, so that landing retries.
        await send()
        const postgresAwayCpuPercent = await cpuPercent()
        await postgres.start()
        await reachLanded(service, messages.events)

        await redis.stop()
        const redisAwayCpuPercent = await cpuPercent()
        await redis.start()

        generator.close()
        await service.stop()
        return {
          events: messages.events,
          seconds: (performance.now() - startMs) / 1000,
          serviceCpuSeconds: 0,
          durability: 'everysec',
          problems: await postgresNumbersProblems(postgres, url, expectedRows(messages.events), options),
          details: { idleCommandsPerSecond, idleCpuPercent, redisAwayCpuPercent, postgresAwayCpuPercent },
        }
      }),
    ),
  ),
)
