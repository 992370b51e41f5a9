// Which topics there are, with their partitions and groups: what the server says, and what this process knows of it.

import { MillraceError } from '../../errors.ts'
import type { TopicDeclaration } from '../event-log.ts'
import { Bell } from './bell.ts'
import { listOf, numberOf, type RedisConnection, textOf } from './redis-connection.ts'
import type { PartitionKeys, RedisKeys } from './redis-keys.ts'

const maxPartitions = 1024
const maxNameLength = 255

/** More streams than this are a mistake: each costs a look whenever somebody waits for work. */
const maxStreams = 100_000

export interface KnownTopic {
  readonly name: string
  readonly groups: ReadonlySet<string>
  readonly partitions: readonly PartitionKeys[]
  readonly bell: Bell<PartitionKeys>
}

export class TopicRegistry {
  readonly #connection: RedisConnection
  readonly #keys: RedisKeys
  #topics: ReadonlyMap<string, KnownTopic> = new Map()

  constructor(connection: RedisConnection, keys: RedisKeys) {
    this.#connection = connection
    this.#keys = keys
  }

  get topics(): ReadonlyMap<string, KnownTopic> {
    return this.#topics
  }

  /** Reads what the server knows now. */
  async refresh(): Promise<void> {
    const fields = listOf(await this.#connection.command('HGETALL', this.#keys.topics))
    const partitions = new Map<string, number>()
    const groups = new Map<string, Set<string>>()
    for (let at = 0; at + 1 < fields.length; at += 2) {
      const [topic = '', group] = textOf(fields[at]).split('\0')
      if (group === undefined) partitions.set(topic, numberOf(fields[at + 1]))
      else groups.set(topic, (groups.get(topic) ?? new Set()).add(group))
    }
    this.#topics = new Map(
      Array.from(partitions, ([name, count]) => {
        const known = this.#topics.get(name)
        // The same objects as before: whoever remembers a partition goes by them.
        const makeKeys = (_: unknown, number: number) => known?.partitions[number] ?? this.#keys.partition(name, number)
        const keys = Array.from({ length: count }, makeKeys)
        const bell = known?.bell ?? new Bell<PartitionKeys>()
        return [name, { name, groups: groups.get(name) ?? new Set(), partitions: keys, bell }]
      }),
    )
  }

  /** Remembers a declaration, then makes what is missing of the topic: also what another declared and did not finish. */
  async declare(topic: string, declaration: TopicDeclaration): Promise<void> {
    checkDeclaration(topic, declaration)
    const { partitions, groups } = declaration
    await this.refresh()
    this.#checkStreams(topic, declaration)
    const names = groups.map(({ name }) => name)
    const known = numberOf(
      await this.#connection.run('register-topic', [this.#keys.topics], [topic, partitions, ...names]),
    )
    if (known > 0) {
      throw new MillraceError(
        'failed_precondition',
        `topic "${topic}" has ${known} partitions; it was declared with ${partitions}, and partitions cannot be taken away`,
        { field: 'partitions' },
      )
    }
    await this.refresh()
    await this.make(topic)
  }

  /** Makes what is missing in the partitions of a topic. */
  async make(topic: string): Promise<void> {
    const { partitions, groups } = this.#topics.get(topic)!
    for (const { books, groups: groupsKey, streams } of partitions) {
      await this.#connection.run('make-partition', [books, groupsKey, ...streams], [...groups])
    }
  }

  #checkStreams(topic: string, { partitions, groups }: TopicDeclaration): void {
    let streams = 0
    for (const known of this.#topics.values()) {
      if (known.name !== topic) streams += known.partitions.length * 3 * (1 + known.groups.size)
    }
    const all = new Set([...(this.#topics.get(topic)?.groups ?? []), ...groups.map(({ name }) => name)])
    streams += partitions * 3 * (1 + all.size)
    if (streams <= maxStreams) return
    throw new MillraceError(
      'failed_precondition',
      `topic "${topic}" with ${partitions} partitions would make ${streams} streams; ${maxStreams} is the limit`,
      { field: 'partitions' },
    )
  }
}

/** Throws `failed_precondition` when a declaration makes no sense. */
function checkDeclaration(topic: string, { partitions, groups }: TopicDeclaration): void {
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > maxPartitions) {
    throw new MillraceError(
      'failed_precondition',
      `topic "${topic}" was declared with ${partitions} partitions; 1 to ${maxPartitions} are possible`,
      { field: 'partitions' },
    )
  }
  for (const name of [topic, ...groups.map((group) => group.name)]) {
    if (name !== '' && name.length <= maxNameLength && !name.includes('\0')) continue
    throw new MillraceError(
      'failed_precondition',
      `"${name}" is no name: 1 to ${maxNameLength} characters, none of them NUL`,
      { field: 'name' },
    )
  }
}
