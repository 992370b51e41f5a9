// Finds consumers that have ended without a word, and takes from them what they hold.
//
// A living consumer changes its beat on the server every third of its lease. Whoever waits for work of the group looks at
// the beats of those who hold something, and when one has not changed for a lease, by the observer's own clock that only
// goes forward, it is dead. So no clock of one host is compared with that of another.
//
// Who holds something is read from the partitions themselves, so nobody is forgotten who is missing among the members.

import { listOf, type RedisConnection, textOf } from './redis-connection.ts'
import type { PartitionKeys, RedisKeys } from './redis-keys.ts'
import type { KnownTopic } from './topic-registry.ts'

/** Looks for each lease: so the dead are found at most a sixth of a lease late. */
const looksPerLease = 6

const defaultLeaseMs = 30_000

/** How much one script takes from a consumer; the server does nothing else while it runs. */
export const maxReleasedPerScript = 500

interface Sighting {
  beat: string
  sinceMs: number
}

interface GroupWatch {
  lookedAtMs: number
  looking: Promise<void> | null
  sightings: Map<string, Sighting>
}

/** A beat goes by itself when nobody beats any more; only what a consumer holds decides whether it is dead. */
export function beatLifeMs(leaseMs: number): number {
  return Math.max(60_000, leaseMs * 4)
}

export interface MemberWatchOptions {
  readonly connection: RedisConnection
  readonly keys: RedisKeys
  /** A clock that only goes forward, in milliseconds. */
  readonly elapsedMs: () => number
}

export class MemberWatch {
  readonly #options: MemberWatchOptions
  readonly #groups = new Map<string, GroupWatch>()
  /** Consumers of this process: they live as long as it does. */
  readonly #own = new Set<string>()

  constructor(options: MemberWatchOptions) {
    this.#options = options
  }

  /** The consumer lives until the answer is called. Its beat is on the server when this resolves. */
  async join(name: string, leaseMs: number): Promise<() => Promise<void>> {
    const { connection, keys } = this.#options
    let beats = 0
    const beat = () => connection.command('SET', keys.member(name), `${leaseMs}:${++beats}`, 'PX', beatLifeMs(leaseMs))
    this.#own.add(name)
    try {
      await beat()
    } catch (thrown) {
      this.#own.delete(name)
      throw thrown
    }
    // A beat that does not get through is followed by the next.
    const timer = setInterval(() => void beat().catch(() => {}), Math.max(1, leaseMs / 3))
    timer.unref()
    return async () => {
      clearInterval(timer)
      this.#own.delete(name)
      await connection.command('DEL', keys.member(name))
    }
  }

  /** Looks for the dead when it is time, and frees what they hold. */
  async look(topic: KnownTopic, group: string, leaseMs = defaultLeaseMs): Promise<void> {
    const key = `${topic.name}\0${group}`
    let watch = this.#groups.get(key)
    if (watch === undefined) {
      watch = { lookedAtMs: Number.NEGATIVE_INFINITY, looking: null, sightings: new Map() }
      this.#groups.set(key, watch)
    }
    const { elapsedMs } = this.#options
    if (watch.looking === null && elapsedMs() - watch.lookedAtMs < leaseMs / looksPerLease) return
    const { sightings } = watch
    watch.looking ??= this.#look(topic, group, sightings)
      .then(() => {
        watch.lookedAtMs = elapsedMs()
      })
      .finally(() => {
        watch.looking = null
      })
    await watch.looking
  }

  async #look(topic: KnownTopic, group: string, sightings: Map<string, Sighting>): Promise<void> {
    const { connection, elapsedMs } = this.#options
    const holders = new Map<string, PartitionKeys[]>()
    await Promise.all(
      topic.partitions.map(async (partition) => {
        for (const name of listOf(await connection.run('owners', partition.forGroup(group), [group])).map(textOf)) {
          if (!this.#own.has(name)) holders.set(name, [...(holders.get(name) ?? []), partition])
        }
      }),
    )
    for (const name of sightings.keys()) if (!holders.has(name)) sightings.delete(name)
    for (const [name, partitions] of holders) {
      const reply = await connection.command('GET', this.#options.keys.member(name))
      const beat = reply === null ? '' : textOf(reply)
      const seen = sightings.get(name)
      if (seen?.beat !== beat) {
        sightings.set(name, { beat, sinceMs: elapsedMs() })
      } else if (elapsedMs() - seen.sinceMs >= (Number.parseInt(beat, 10) || defaultLeaseMs)) {
        for (const partition of partitions) await release(connection, partition, group, name, { isGivenBack: false })
        sightings.delete(name)
        topic.bell.ring()
      }
    }
  }
}

export interface ReleaseOptions {
  /** Whether the attempts do not count. */
  readonly isGivenBack: boolean
  /** What it goes on to hold: `<lane number>:<entry id>`, or the member of the group's own stream. */
  readonly keep?: readonly string[]
}

/** Takes from a consumer what it holds in a partition. */
export async function release(
  connection: RedisConnection,
  partition: PartitionKeys,
  group: string,
  name: string,
  { isGivenBack, keep = [] }: ReleaseOptions,
): Promise<void> {
  const args = [group, name, isGivenBack ? 1 : 0, maxReleasedPerScript, ...keep]
  while ((await connection.run('release', partition.forGroup(group), args)) === 1) {
    // There was more than one script takes.
  }
}
