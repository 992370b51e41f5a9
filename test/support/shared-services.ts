// The services that all test files of a run share: a PostgreSQL, a Redis and a Redis Cluster.
//
// The runner starts them once and names them in the environment; a file that runs alone starts its own at first use and
// stops them at the end. A test gets its own database or key prefix. A test that kills, stalls, fills or
// reconfigures a service starts one of its own instead.

import { after } from 'node:test'
import { Postgres } from './postgres-server.ts'
import { RedisCluster } from './redis-cluster.ts'
import { Redis, RedisServer } from './redis-server.ts'
import { createPostgres, serviceVariables } from './start-services.ts'

/** Masters without replicas. */
export interface SharedCluster {
  readonly url: string
  readonly masters: readonly Redis[]
}

const own: { destroy(): Promise<void> }[] = []
after(async () => {
  for (const service of own) await service.destroy()
})

export const sharedPostgres = once(async (): Promise<Postgres> => {
  const port = process.env[serviceVariables.postgres]
  return port === undefined ? ownUntilEnd(await createPostgres()) : new Postgres(Number(port))
})

export const sharedRedis = once(async (): Promise<Redis> => {
  const port = process.env[serviceVariables.redis]
  return port === undefined ? ownUntilEnd(await RedisServer.create()) : new Redis(Number(port))
})

export const sharedCluster = once(async (): Promise<SharedCluster> => {
  const ports = process.env[serviceVariables.cluster]
  if (ports === undefined) return ownUntilEnd(await RedisCluster.create())
  const masters = ports.split(',').map((port) => new Redis(Number(port)))
  return { masters, url: masters.map(({ url }) => url).join(',') }
})

let prefixes = 0

/** A key prefix that no other test uses. It begins with `test`. */
export function redisPrefix(): string {
  return `test-${process.pid}-${++prefixes}`
}

function ownUntilEnd<Service extends { destroy(): Promise<void> }>(service: Service): Service {
  own.push(service)
  return service
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | null = null
  return () => {
    made ??= make()
    return made
  }
}
