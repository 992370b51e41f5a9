// Lanes that refuse every append, because another program has raised the last id of their stream.

import { listOf, type RedisConnection, type Reply, textOf } from '../connection/redis-connection.ts'
import type { PartitionKeys, RedisKeys } from '../redis-keys.ts'
import { readRegistry } from '../topics/registry-content.ts'

export class BlockedLanes {
  readonly #connection: RedisConnection
  /** The commands that cure each, by stream. */
  readonly #blocked = new Map<string, { readonly partition: PartitionKeys; readonly cure: string }>()
  /** Called when the texts have changed. */
  onChange: () => void = () => {}

  constructor(connection: RedisConnection) {
    this.#connection = connection
  }

  get texts(): readonly string[] {
    return Array.from(this.#blocked, ([stream, { cure }]) => `${stream} refuses every append: ${blockedText(cure)}`)
  }

  /** Notes the commands that cure a lane; '' when it takes appends. */
  note(partition: PartitionKeys, stream: string, cure: string): void {
    if ((this.#blocked.get(stream)?.cure ?? '') === cure) return
    if (cure === '') this.#blocked.delete(stream)
    else this.#blocked.set(stream, { partition, cure })
    this.onChange()
  }

  /** Notes the reply of a script: the same for each lane of a partition. */
  noteAll(partition: PartitionKeys, reply: Reply | undefined): void {
    for (const [index, cure] of listOf(reply).entries()) this.note(partition, partition.streams[index]!, textOf(cure))
  }

  /** Looks whether the known ones were cured. Those of a partition that cannot be read stay as they are known. */
  async checkAgain(): Promise<void> {
    const partitions = new Set(Array.from(this.#blocked.values(), ({ partition }) => partition))
    for (const partition of partitions) await this.check(partition).catch(() => {})
  }

  async check(partition: PartitionKeys): Promise<void> {
    this.noteAll(partition, await this.#connection.run('blocked-lanes', [partition.books, ...partition.streams], []))
  }
}

export function blockedText(cure: string): string {
  return `another program has raised the last id of this key; run on Redis: ${cure}`
}

/** Reads all lanes, and describes each that refuses appends. Errors: as RedisConnection.run; as readRegistry. */
export async function findBlockedLanes(connection: RedisConnection, keys: RedisKeys): Promise<readonly string[]> {
  const { topics } = readRegistry(await connection.command('HGETALL', keys.topics), keys)
  const found = new BlockedLanes(connection)
  for (const { partitions } of topics.values()) {
    for (const partition of partitions) await found.check(partition)
  }
  return found.texts
}
