// Starts the services that the test files of a run share, and names them in the environment (shared-services.ts reads it).

import { rmSync } from 'node:fs'
import { clusterVariable, createCluster, PostgresServer } from './postgres-server.ts'
import { RedisCluster } from './redis-cluster.ts'
import { RedisServer } from './redis-server.ts'

export const serviceVariables = {
  postgres: 'TEST_POSTGRES_PORT',
  redis: 'TEST_REDIS_PORT',
  cluster: 'TEST_REDIS_CLUSTER_PORTS',
} as const

/** Tuned for many short-lived databases: creating one takes 100 ms instead of 370, and no data has to survive. */
export function createPostgres(): Promise<PostgresServer> {
  const settings = ['max_connections=200', 'wal_level=minimal', 'max_wal_senders=0', 'full_page_writes=off']
  return PostgresServer.create({ settings: [...settings, 'autovacuum_naptime=1h'] })
}

/** Resolves once all three answer, with a function that stops them. */
export async function startServices(): Promise<() => Promise<void>> {
  const newCluster = createCluster()
  process.env[clusterVariable] = newCluster
  const starting = [createPostgres(), RedisServer.create(), RedisCluster.create()] as const
  const stop = async () => {
    for (const one of await Promise.allSettled(starting)) if (one.status === 'fulfilled') await one.value.destroy()
    rmSync(newCluster, { recursive: true })
  }
  const [postgres, redis, cluster] = await Promise.all(starting).catch(async (failure) => {
    await stop()
    throw failure
  })
  process.env[serviceVariables.postgres] = String(postgres.port)
  process.env[serviceVariables.redis] = String(redis.port)
  process.env[serviceVariables.cluster] = cluster.masters.map(({ port }) => port).join(',')
  return stop
}
