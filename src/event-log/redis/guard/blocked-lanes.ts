// Lanes that refuse every append, because another program has raised the last id of their stream.

import { listOf, type RedisConnection, textOf } from '../connection/redis-connection.ts'
import type { PartitionKeys, RedisKeys } from '../redis-keys.ts'
import { readRegistry } from '../topics/registry-content.ts'

export class BlockedLanes {
  readonly #connection: RedisConnection
  /** The commands that cure each, by stream. */
  readonly #cures = new Map<string, string>()
  readonly #partitions = new Set<PartitionKeys>()
  /** Called when the texts have changed. */
  onChange: () => void = () => {}

  constructor(connection: RedisConnection) {
    this.#connection = connection
  }

  get texts(): readonly string[] {
    return Array.from(this.#cures, ([stream, cure]) => `${stream} refuses every append: ${blockedText(cure)}`)
  }

  /** Notes what an append has found, with the commands that cure the lane; null: it was stored. */
  note(partition: PartitionKeys, stream: string, cure: string | null): void {
    if ((this.#cures.get(stream) ?? null) === cure) return
    if (cure === null) this.#cures.delete(stream)
    else this.#cures.set(stream, cure)
    this.#partitions.add(partition)
    this.onChange()
  }

  /** Notes the reply of a script: the number and the cure of each blocked lane of a partition. */
  noteAll(partition: PartitionKeys, reply: Parameters<typeof listOf>[0]): void {
    const words = listOf(reply).map(textOf)
    for (const [index, stream] of partition.streams.entries()) {
      const at = words.indexOf(String(index + 1))
      this.note(partition, stream, at < 0 ? null : words[at + 1]!)
    }
  }

  /** Looks whether the known ones were cured. Errors: as RedisConnection.run. */
  async checkAgain(): Promise<void> {
    for (const partition of this.#cures.size === 0 ? [] : this.#partitions) await this.check(partition)
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
