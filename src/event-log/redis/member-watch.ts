// Finds consumers that have ended without a word, and takes from them what they hold.
//
// A living consumer changes its beat on the server every third of its lease. Whoever waits for work of the group looks at
// the beats of its members, and when one has not changed for a lease, by the observer's own clock that only goes forward,
// it is dead. So no clock of one host is compared with that of another. All beats are read at once: a look costs one
// command, however many partitions there are.
//
// Who holds something is read from the partitions themselves: when somebody has died, and now and then all the same, so
// that nobody is forgotten who is missing among the members.

import type { Epochs } from './epochs.ts'
import { listOf, type RedisConnection, textOf } from './redis-connection.ts'
import type { PartitionKeys, RedisKeys } from './redis-keys.ts'
import type { KnownTopic } from './topic-registry.ts'

/** Looks for each lease: so the dead are found at most a sixth of a lease late. */
const looksPerLease = 6

const defaultLeaseMs = 30_000

/** How often the partitions are asked for holders whom nobody knows. */
const lookForHoldersEveryMs = 30_000

/** How much one script takes from a consumer; the server does nothing else while it runs. */
const maxReleasedPerScript = 500

/** How many scripts one look runs to free what the dead hold; the next look goes on. */
const maxReleasesPerLook = 20

/** How many holders in the own stream one script tells. */
const heldPerScript = 1000

/** A consumer that holds nothing and has not asked for so long is forgotten on the server. */
const idleMs = 60_000

interface Sighting {
  beat: string
  sinceMs: number
}

interface GroupWatch {
  lookedAtMs: number
  /** When the partitions were last asked who holds something. */
  askedAtMs: number
  looking: Promise<void> | null
  readonly sightings: Map<string, Sighting>
  /** Holders without a beat. */
  strangers: readonly string[]
}

interface Member {
  /** Unlike that of any other consumer. */
  readonly name: string
  readonly topic: string
  readonly group: string
  readonly leaseMs: number
}

export interface MemberWatchOptions {
  readonly connection: RedisConnection
  readonly epochs: Epochs
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
    // A beat that does not get through is followed by the next.
    const timer = setInterval(() => void beat().catch(() => {}), Math.max(1, leaseMs / 3))
    timer.unref()
    return async () => {
      clearInterval(timer)
      this.#own.delete(name)
      await connection.command('HDEL', keys.members, name)
    }
  }

  /** How long after a look the next is due. */
  static everyMs(leaseMs: number): number {
    return leaseMs / looksPerLease
  }

  /** Looks for the dead when it is time, and frees what they hold. */
  async look(topic: KnownTopic, group: string, leaseMs = defaultLeaseMs): Promise<void> {
    const key = `${topic.name}\0${group}`
    let watch = this.#groups.get(key)
    if (watch === undefined) {
      const never = Number.NEGATIVE_INFINITY
      watch = { lookedAtMs: never, askedAtMs: never, looking: null, sightings: new Map(), strangers: [] }
      this.#groups.set(key, watch)
    }
    const { elapsedMs } = this.#options
    if (watch.looking === null && elapsedMs() - watch.lookedAtMs < MemberWatch.everyMs(leaseMs)) return
    const seen = watch
    watch.looking ??= this.#look(topic, group, watch).then(
      (isDone) => {
        if (isDone) seen.lookedAtMs = elapsedMs()
        seen.looking = null
      },
      (thrown) => {
        seen.lookedAtMs = elapsedMs()
        seen.looking = null
        throw thrown
      },
    )
    await watch.looking
  }

  /** Answers whether it got to the end of what it found. */
  async #look(topic: KnownTopic, group: string, watch: GroupWatch): Promise<boolean> {
    const { connection, epochs, keys, elapsedMs } = this.#options
    const { sightings } = watch
    const beats = await this.#beatsOf(topic.name, group)
    const names = new Set([...beats.keys(), ...watch.strangers])
    for (const name of sightings.keys()) if (!names.has(name)) sightings.delete(name)
    const silent = [...names].filter((name) => this.#isSilent(sightings, name, beats.get(name) ?? ''))
    if (silent.length === 0 && elapsedMs() - watch.askedAtMs < lookForHoldersEveryMs) return true
    const holders = await this.#holders(topic, group)
    watch.askedAtMs = elapsedMs()
    let releases = 0
    for (const name of silent) {
      for (const partition of holders.get(name) ?? []) {
        const most = maxReleasesPerLook - releases
        if (most <= 0) return false
        releases += await release(epochs, partition, group, name, { isGivenBack: false, most })
      }
      // There may be more.
      if (releases >= maxReleasesPerLook) return false
      sightings.delete(name)
      if (beats.has(name)) await connection.command('HDEL', keys.members, name)
    }
    watch.strangers = [...holders.keys()].filter((name) => !beats.has(name) && !silent.includes(name))
    // Their time begins now.
    for (const name of watch.strangers) this.#isSilent(sightings, name, '')
    return true
  }

  /** Whether the beat has not changed for a lease. */
  #isSilent(sightings: Map<string, Sighting>, name: string, beat: string): boolean {
    const nowMs = this.#options.elapsedMs()
    const seen = sightings.get(name)
    if (seen?.beat === beat) return nowMs - seen.sinceMs >= (Number.parseInt(beat, 10) || defaultLeaseMs)
    sightings.set(name, { beat, sinceMs: nowMs })
    return false
  }

  /** The beats of the other processes' members of a group. */
  async #beatsOf(topic: string, group: string): Promise<Map<string, string>> {
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

  /** The other processes' consumers that hold something, and where. */
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
      const reply = await epochs.goOn((epoch) => epochs.run(epoch, 'owners', partition, keys, args))
      const [next, ...found] = listOf(reply).map(textOf)
      for (const name of found) names.add(name)
      cursor = next!
    }
    return names
  }
}

export interface ReleaseOptions {
  /** Whether the attempts do not count. */
  readonly isGivenBack: boolean
  /** What it goes on to hold: `<lane number>:<entry id>`, or the member of the group's own stream. */
  readonly keep?: readonly string[]
  /** How many scripts at most. Default: as many as it takes. */
  readonly most?: number
}

/** Takes from a consumer what it holds in a partition. Answers how many scripts it took. */
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
    cursor = textOf(await epochs.goOn((epoch) => epochs.run(epoch, 'release', partition, keys, args)))
  }
  return scripts
}
