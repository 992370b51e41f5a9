// W2 with Redis and PostgreSQL: the full path, from the producer's message through Redis to the row in PostgreSQL, until
// every row is committed.

import { runBlock } from '../block.ts'
import { reachLanded } from '../landed-counter.ts'
import { measureStream, type StreamOptions } from '../measure-stream.ts'
import { expectedRows } from '../messages.ts'
import { postgresCpuSeconds, postgresNumbersProblems, withPostgres } from '../postgres.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { labelOfFlush, onRedis, type RedisFlush, redisCpuSeconds, redisInfo, withRedis } from '../redis.ts'
import { startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface FullPathRedisOptions extends StreamOptions {
  readonly flush: RedisFlush
}

await runBlock(({ flush, ...options }: FullPathRedisOptions) =>
  withTempDirectory((directory) =>
    withRedis(directory, flush, (redis) =>
      withPostgres(directory, async (postgres, url) => {
        const service = await startService(directory, { ...onRedis(redis, flush), MILLRACE_POSTGRES_URL: url })
        const used = () => ({
          server: cpuSecondsOf(service.pid),
          redis: redisCpuSeconds(redis),
          postgres: postgresCpuSeconds(postgres),
        })
        let before = used()
        let after = before
        const measured = await measureStream(service, options, {
          // The backlog grows to the server's limit; then the producer sends as fast as rows land.
          shape: { overflow: 'wait' },
          untilDone: (eventsInAll) => reachLanded(service, eventsInAll),
          cpuSeconds: () => {
            before = after
            after = used()
            return after.server + after.redis + after.postgres
          },
        })
        const { events, seconds, serviceCpuSeconds, eventsInAll } = measured
        const appends = await service.counter('millrace_log_commits_total')
        const landings = await service.counter('millrace_landing_duration_seconds_count')
        const microsPerEvent = (part: keyof typeof after) => (1e6 * (after[part] - before[part])) / events
        const details = {
          ...measured.details,
          appends,
          landings,
          rowsPerLanding: Math.round(eventsInAll / landings),
          serverMicros: microsPerEvent('server'),
          redisMicros: microsPerEvent('redis'),
          postgresMicros: microsPerEvent('postgres'),
          redisVersion: (await redisInfo(redis, 'server')).get('redis_version') ?? 'unknown',
          postgresVersion: String((await postgres.query('SHOW server_version'))[0]?.server_version),
        }
        await service.stop()
        const numbers = await postgresNumbersProblems(postgres, url, expectedRows(eventsInAll), options)
        const problems = [...measured.problems, ...numbers]
        return { events, seconds, serviceCpuSeconds, durability: labelOfFlush[flush], problems, details }
      }),
    ),
  ),
)
