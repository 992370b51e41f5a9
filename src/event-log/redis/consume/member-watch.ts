// Detects dead consumers and releases the entries that they hold.
//
// A live consumer updates its heartbeat on the server every third of its lease. Each consumer that waits for work reads
// the heartbeats of its group; when one has not changed for a lease, by the observer's own monotonic clock, its
// consumer is dead. So clocks of different hosts are never compared. All heartbeats are read with one command, however
// many partitions there are.
//
// Which consumer holds something is read from the partitions: when a consumer has died, and every 30 s anyway, so that
// a holder without a heartbeat is found too.

import { listOf, type RedisConnection, textOf } from '../connection/redis-connection.ts'
import type { PartitionKeys, RedisKeys } from '../redis-keys.ts'
import type { Epochs } from '../topics/epochs.ts'
import type { KnownTopic } from '../topics/topic-registry.ts'

/** Checks per lease: a dead consumer is found at most a sixth of a lease late. */
const checksPerLease = 6

const defaultLeaseMs = 30_000

/** How often the partitions are searched for holders without a heartbeat. */
const searchHoldersEveryMs = 30_000

/** Max entries that one script releases; it blocks the server while it runs. */
const maxReleasedPerScript = 500

/** Max release scripts per check; the next check continues. */
const maxReleasesPerCheck = 20

/** How many members of again-held one script reads. */
const heldPerScript = 1000

/** A consumer that holds nothing and has been idle this long is deleted on the server. */
const idleMs = 60_000

interface Sighting {
  beat: string
  sinceMs: number
}

interface GroupWatch {
  checkedAtMs: number
  /** When the partitions were last searched for holders. */
  searchedAtMs: number
  checking: Promise<void> | null
  readonly sightings: Map<string, Sighting>
  /** Holders without a heartbeat. */
  unknownHolders: readonly string[]
}

interface Member {
  /** Unique among all consumers. */
  readonly name: string
  readonly topic: string
  readonly group: string
  readonly leaseMs: number
}

export interface MemberWatchOptions {
  readonly connection: RedisConnection
  readonly epochs: Epochs
  readonly keys: RedisKeys
  /** A monotonic clock, in milliseconds. */
  readonly elapsedMs: () => number
}

export class MemberWatch {
  readonly #options: MemberWatchOptions
  readonly #groups = new Map<string, GroupWatch>()
  /** Consumers of this process: alive as long as it is. */
  readonly #own = new Set<string>()

  constructor(options: MemberWatchOptions) {
    this.#options = options
  }

  /** Starts the heartbeat, which is on the server when the promise resolves. The returned function stops it. */
  async join({ name, topic, group, leaseMs }: Member): Promise<() => Promise<void>> {
    const { connection, keys } = this.#options
    const member = [name, leaseMs, `${topic}\0${group}`]
    const beat = () => connection.run('beat', [keys.members], member)
    this.#own.add(name)
    try {
      await beat()
    } catch (thrown) {
      this.#own.delete(name)
      throw thrown
    }
    // A failed heartbeat is repeated by the next.
    const timer = setInterval(() => void beat().catch(() => {}), Math.max(1, leaseMs / 3))
    timer.unref()
    return async () => {
      clearInterval(timer)
      this.#own.delete(name)
      await connection.command('HDEL', keys.members, name)
    }
  }

  /** Interval of the checks, in milliseconds. */
  static everyMs(leaseMs: number): number {
    return leaseMs / checksPerLease
  }

  /** Detects dead consumers when a check is due, and releases what they hold. */
  async check(topic: KnownTopic, group: string, leaseMs = defaultLeaseMs): Promise<void> {
    const key = `${topic.name}\0${group}`
    let watch = this.#groups.get(key)
    if (watch === undefined) {
      const never = Number.NEGATIVE_INFINITY
      watch = { checkedAtMs: never, searchedAtMs: never, checking: null, sightings: new Map(), unknownHolders: [] }
      this.#groups.set(key, watch)
    }
    const { elapsedMs } = this.#options
    if (watch.checking === null && elapsedMs() - watch.checkedAtMs < MemberWatch.everyMs(leaseMs)) return
    const seen = watch
    watch.checking ??= this.#check(topic, group, watch).then(
      (isDone) => {
        if (isDone) seen.checkedAtMs = elapsedMs()
        seen.checking = null
      },
      (thrown) => {
        seen.checkedAtMs = elapsedMs()
        seen.checking = null
        throw thrown
      },
    )
    await watch.checking
  }

  /** Returns whether everything that dead consumers held was released. */
  async #check(topic: KnownTopic, group: string, watch: GroupWatch): Promise<boolean> {
    const { connection, epochs, keys, elapsedMs } = this.#options
    const { sightings } = watch
    const beats = await this.#heartbeatsOf(topic.name, group)
    const names = new Set([...beats.keys(), ...watch.unknownHolders])
    for (const name of sightings.keys()) if (!names.has(name)) sightings.delete(name)
    const silent = [...names].filter((name) => this.#isSilent(sightings, name, beats.get(name) ?? ''))
    if (silent.length === 0 && elapsedMs() - watch.searchedAtMs < searchHoldersEveryMs) return true
    const holders = await this.#holders(topic, group)
    watch.searchedAtMs = elapsedMs()
    let releases = 0
    for (const name of silent) {
      for (const partition of holders.get(name) ?? []) {
        const most = maxReleasesPerCheck - releases
        if (most <= 0) return false
        releases += await release(epochs, partition, group, name, { isGivenBack: false, most })
      }
      // The last release may be incomplete.
      if (releases >= maxReleasesPerCheck) return false
      sightings.delete(name)
      if (beats.has(name)) await connection.command('HDEL', keys.members, name)
    }
    watch.unknownHolders = [...holders.keys()].filter((name) => !beats.has(name) && !silent.includes(name))
    // Start their lease timers.
    for (const name of watch.unknownHolders) this.#isSilent(sightings, name, '')
    return true
  }

  /** Whether the heartbeat has not changed for a lease. */
  #isSilent(sightings: Map<string, Sighting>, name: string, beat: string): boolean {
    const nowMs = this.#options.elapsedMs()
    const seen = sightings.get(name)
    if (seen?.beat === beat) return nowMs - seen.sinceMs >= (Number.parseInt(beat, 10) || defaultLeaseMs)
    sightings.set(name, { beat, sinceMs: nowMs })
    return false
  }

  /** The heartbeats of a group's consumers in other processes. */
  async #heartbeatsOf(topic: string, group: string): Promise<Map<string, string>> {
    const { connection, keys } = this.#options
    const fields = listOf(await connection.command('HGETALL', keys.members)).map(textOf)
    const beats = new Map<string, string>()
    for (let at = 0; at + 1 < fields.length; at += 2) {
      const [name, beat] = [fields[at]!, fields[at + 1]!]
      const ofGroup = beat.slice(beat.indexOf(':', beat.indexOf(':') + 1) + 1)
      if (ofGroup === `${topic}\0${group}` && !this.#own.has(name)) beats.set(name, beat)
    }
    return beats
  }

  /** The consumers of other processes that hold something, with the partitions in which they do. */
  async #holders(topic: KnownTopic, group: string): Promise<Map<string, PartitionKeys[]>> {
    const holders = new Map<string, PartitionKeys[]>()
    await Promise.all(
      topic.partitions.map(async (partition) => {
        for (const name of await this.#owners(partition, group)) {
          if (!this.#own.has(name)) holders.set(name, [...(holders.get(name) ?? []), partition])
        }
      }),
    )
    return holders
  }

  async #owners(partition: PartitionKeys, group: string): Promise<Set<string>> {
    const { epochs } = this.#options
    const names = new Set<string>()
    const keys = partition.forGroup(group)
    for (let cursor = '0'; cursor !== ''; ) {
      const args = [group, idleMs, cursor, heldPerScript]
      const reply = await epochs.withEpoch((epoch) => epochs.run(epoch, 'owners', partition, keys, args))
      const [next, ...found] = listOf(reply).map(textOf)
      for (const name of found) names.add(name)
      cursor = next!
    }
    return names
  }
}

export interface ReleaseOptions {
  /** True to give entries back: their current attempt does not count. */
  readonly isGivenBack: boolean
  /** What the consumer keeps: `<lane number>:<entry id>`, or the member of the group's own stream. */
  readonly keep?: readonly string[]
  /** Max scripts. Default: unlimited. */
  readonly most?: number
}

/** Releases what a consumer holds in a partition. Returns the number of scripts that it ran. */
export async function release(
  epochs: Epochs,
  partition: PartitionKeys,
  group: string,
  name: string,
  { isGivenBack, keep = [], most = Number.POSITIVE_INFINITY }: ReleaseOptions,
): Promise<number> {
  const keys = partition.forGroup(group)
  let scripts = 0
  for (let cursor = '0'; cursor !== '' && scripts < most; scripts++) {
    const args = [group, name, isGivenBack ? 1 : 0, maxReleasedPerScript, cursor, ...keep]
    cursor = textOf(await epochs.withEpoch((epoch) => epochs.run(epoch, 'release', partition, keys, args)))
  }
  return scripts
}
