// Lanes that refuse every append, because another program has raised the last id of their stream.

import { listOf, type RedisConnection, textOf } from '../connection/redis-connection.ts'
import type { RedisKeys } from '../redis-keys.ts'
import { readRegistry } from '../topics/registry-content.ts'

export function blockedText(cure: string): string {
  return `another program has raised the last id of this key; run on Redis: ${cure}`
}

/** Reads all lanes, and describes each that refuses appends. Errors: as RedisConnection.run; as readRegistry. */
export async function findBlockedLanes(connection: RedisConnection, keys: RedisKeys): Promise<readonly string[]> {
  const { topics } = readRegistry(await connection.command('HGETALL', keys.topics), keys)
  const found: string[] = []
  for (const { books, streams } of [...topics.values()].flatMap(({ partitions }) => partitions)) {
    const reply = listOf(await connection.run('blocked-lanes', [books, ...streams], [])).map(textOf)
    for (let at = 0; at + 1 < reply.length; at += 2) {
      found.push(`${streams[Number(reply[at]) - 1]} refuses every append: ${blockedText(reply[at + 1]!)}`)
    }
  }
  return found
}
