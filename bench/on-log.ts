// Runs a measurement on the embedded log, or on Redis with PostgreSQL as the store.

import type { DurabilityLabel } from './block.ts'
import { withPostgres } from './postgres.ts'
import { labelOfFlush, onRedis, redisCpuSeconds, withRedis } from './redis.ts'

/** What a measurement needs to know of the log: the settings of a server, and the CPU seconds of the log's own process. */
export type MeasureOnLog<Result> = (
  env: Readonly<Record<string, string>>,
  brokerCpuSeconds: () => number,
) => Promise<Result>

/** Resolves with the result and the label of its durability. */
export async function onLog<Result extends object>(
  directory: string,
  log: 'embedded' | 'redis',
  measure: MeasureOnLog<Result>,
): Promise<Result & { durability: DurabilityLabel }> {
  if (log === 'embedded') return { ...(await measure({}, () => 0)), durability: 'disk' }
  return withRedis(directory, 'everysec', (redis) =>
    withPostgres(directory, async (_, url) => {
      const env = { ...onRedis(redis, 'everysec'), MILLRACE_POSTGRES_URL: url }
      return { ...(await measure(env, () => redisCpuSeconds(redis))), durability: labelOfFlush.everysec }
    }),
  )
}
