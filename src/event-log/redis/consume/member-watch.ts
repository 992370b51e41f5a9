// Detects dead processes and releases the entries that their consumers hold.
//
// A process with consumers updates its heartbeat on the server every third of their shortest lease. A process in which
// consumers wait for work reads the heartbeats of all processes with one command; when one has not changed for a lease,
// by the observer's own monotonic clock, its consumers are dead. So clocks of different hosts are never compared. The
// name of a consumer says which process it is in and how long its lease is: `<process>.<number>.<lease>`.
//
// Which consumer holds something is read from the partitions: when a process has died, and every 30 s anyway, so that
// a holder without a heartbeat is found too.

import { MillraceError } from '../../../errors.ts'
import { isNoGroup, listOf, type RedisConnection, textOf } from '../connection/redis-connection.ts'
import type { PartitionKeys, RedisKeys } from '../redis-keys.ts'
import type { Sessions } from '../session/sessions.ts'
import type { KnownTopic } from '../topics/registry-content.ts'

/** Checks per lease: a dead process is found at most a sixth of a lease late. */
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

/** A consumer that holds nothing and has been idle this long is deleted on the server, as is a silent process. */
const idleMs = 60_000

/** How long a silent process is remembered: what it held has long been released then. */
const forgetMs = 10 * idleMs

/** The heartbeat of another process; '' when it has none and a holder in it was found. */
interface Sighting {
  readonly beat: string
  readonly sinceMs: number
}

interface GroupWatch {
  checkedAtMs: number
  /** When the partitions were last searched for holders. */
  searchedAtMs: number
  checking: Promise<void> | null
  /** The silent processes, each with the heartbeat at which all that it held here had been released. */
  readonly released: Map<string, string>
}

export interface MemberWatchOptions {
  readonly connection: RedisConnection
  readonly sessions: Sessions
  readonly keys: RedisKeys
  /** The name of this process, without a dot. */
  readonly process: string
  /** A monotonic clock, in milliseconds. */
  readonly elapsedMs: () => number
}

export class MemberWatch {
  readonly #options: MemberWatchOptions
  readonly #groups = new Map<string, GroupWatch>()
  readonly #sightings = new Map<string, Sighting>()
  /** What closed consumers of this process could not give back. */
  #unreleased: { readonly partition: PartitionKeys; readonly group: string; readonly name: string }[] = []
  /** This process's consumers by their names. */
  readonly #joined = new Map<string, { readonly leaseMs: number; readonly group: string }>()
  #lastConsumer = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: MemberWatchOptions) {
    this.#options = options
  }

  /** Names a consumer; the heartbeat is on the server when the promise resolves. `leave` ends it. */
  async join(
    topic: string,
    group: string,
    leaseMs: number,
  ): Promise<{ readonly name: string; readonly leave: () => Promise<void> }> {
    const { connection, keys, process } = this.#options
    const name = `${process}.${++this.#lastConsumer}.${leaseMs}`
    this.#joined.set(name, { leaseMs, group: groupText(topic, group) })
    this.#beatFrom()
    const leave = async () => {
      this.#joined.delete(name)
      this.#beatFrom()
      if (this.#joined.size === 0) await connection.command('HDEL', keys.members, process)
      else await this.#beat()
    }
    try {
      await this.#beat()
      return { name, leave }
    } catch (thrown) {
      await leave().catch(() => {})
      throw thrown
    }
  }

  /** Gives back what a consumer that closes holds; later, when that fails now: others take this process as alive. */
  async giveBack(partition: PartitionKeys, group: string, name: string): Promise<void> {
    try {
      await release(this.#options.sessions, partition, group, name, { isGivenBack: true })
    } catch (thrown) {
      const isGone = isNoGroup(thrown) || (thrown instanceof MillraceError && thrown.code === 'not_found')
      if (!isGone) this.#unreleased.push({ partition, group, name })
    }
  }

  async #beat(): Promise<void> {
    const { connection, keys, process } = this.#options
    const groups = new Set(Array.from(this.#joined.values(), ({ group }) => group))
    await connection.run('beat', [keys.members], [process, this.#shortestLeaseMs(), [...groups].join()])
    const again = this.#unreleased.splice(0)
    for (const { partition, group, name } of again) await this.giveBack(partition, group, name)
  }

  #shortestLeaseMs(): number {
    return Math.min(...Array.from(this.#joined.values(), ({ leaseMs }) => leaseMs))
  }

  /** Sets the interval of the heartbeat to the present leases. A failed heartbeat is repeated by the next. */
  #beatFrom(): void {
    clearInterval(this.#timer)
    if (this.#joined.size === 0) return
    const everyMs = Math.max(1, this.#shortestLeaseMs() / 3)
    this.#timer = setInterval(() => void this.#beat().catch(() => {}), everyMs).unref()
  }

  /**
   * Whether a process that is alive, as far as the last check saw, has a consumer in a group. One that is seen for the
   * first time counts for a lease, because it may be alive.
   */
  hasConsumers(topic: string, group: string): boolean {
    const text = groupText(topic, group)
    if (this.#joined.values().some((joined) => joined.group === text)) return true
    return this.#sightings
      .entries()
      .some(([process, { beat }]) => beat.includes(text) && this.#silentMs(process) < leaseIn(beat))
  }

  /** The same, after a look at the heartbeats, unless this process has one. Errors: as RedisConnection.command. */
  async findsConsumers(topic: string, group: string): Promise<boolean> {
    const text = groupText(topic, group)
    if (!this.#joined.values().some((joined) => joined.group === text)) await this.#look()
    return this.hasConsumers(topic, group)
  }

  /** Interval of the checks, in milliseconds. */
  static everyMs(leaseMs: number): number {
    return leaseMs / checksPerLease
  }

  /** Detects dead processes when a check is due, and releases what they hold of a group. */
  async check(topic: KnownTopic, group: string, leaseMs = defaultLeaseMs): Promise<void> {
    const key = `${topic.name}\0${group}`
    let watch = this.#groups.get(key)
    if (watch === undefined) {
      const never = Number.NEGATIVE_INFINITY
      watch = { checkedAtMs: never, searchedAtMs: never, checking: null, released: new Map() }
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
    const { sessions, elapsedMs } = this.#options
    await this.#look()
    const isNews = ([process, { beat }]: [string, Sighting]) =>
      watch.released.get(process) !== beat && this.#silentMs(process) >= leaseIn(beat)
    const silent = [...this.#sightings].filter(isNews)
    if (silent.length === 0 && elapsedMs() - watch.searchedAtMs < searchHoldersEveryMs) return true
    const holders = await this.#holders(topic, group)
    watch.searchedAtMs = elapsedMs()
    const alive = new Set<string>()
    let releases = 0
    for (const [name, partitions] of holders) {
      const [process = '', , lease] = name.split('.')
      if (!this.#sightings.has(process)) this.#hear(process, '')
      if (this.#silentMs(process) < (Number(lease) || defaultLeaseMs)) {
        alive.add(process)
        continue
      }
      for (const partition of partitions) {
        const most = maxReleasesPerCheck - releases
        if (most <= 0) return false
        releases += await release(sessions, partition, group, name, { isGivenBack: false, most })
      }
      // The last release may be incomplete.
      if (releases >= maxReleasesPerCheck) return false
    }
    for (const [process, { beat }] of silent) if (!alive.has(process)) watch.released.set(process, beat)
    return true
  }

  /** Reads the heartbeats of the other processes. */
  async #look(): Promise<void> {
    const { connection, keys, process: own } = this.#options
    const fields = listOf(await connection.command('HGETALL', keys.members)).map(textOf)
    const beats = new Map<string, string>()
    for (let at = 0; at + 1 < fields.length; at += 2) if (fields[at] !== own) beats.set(fields[at]!, fields[at + 1]!)
    for (const [process, beat] of beats) if (this.#sightings.get(process)?.beat !== beat) this.#hear(process, beat)
    for (const [process, { beat }] of this.#sightings) {
      const silentForMs = this.#silentMs(process) - leaseIn(beat)
      // A process that ends by itself removes its heartbeat, and holds nothing.
      const hasLeft = beat !== '' && !beats.has(process) && silentForMs < 0
      if (hasLeft || silentForMs >= forgetMs) this.#sightings.delete(process)
      if (silentForMs >= idleMs && beats.has(process)) await connection.command('HDEL', keys.members, process)
    }
  }

  #hear(process: string, beat: string): void {
    this.#sightings.set(process, { beat, sinceMs: this.#options.elapsedMs() })
  }

  /** How long the heartbeat of a process has not changed. */
  #silentMs(process: string): number {
    const seen = this.#sightings.get(process)
    return seen === undefined ? 0 : this.#options.elapsedMs() - seen.sinceMs
  }

  /** The consumers of other processes that hold something, with the partitions in which they do. */
  async #holders(topic: KnownTopic, group: string): Promise<Map<string, PartitionKeys[]>> {
    const holders = new Map<string, PartitionKeys[]>()
    const own = `${this.#options.process}.`
    await Promise.all(
      topic.partitions.map(async (partition) => {
        for (const name of await this.#owners(partition, group)) {
          if (!name.startsWith(own)) holders.set(name, [...(holders.get(name) ?? []), partition])
        }
      }),
    )
    return holders
  }

  async #owners(partition: PartitionKeys, group: string): Promise<Set<string>> {
    const names = new Set<string>()
    const keys = partition.forGroup(group)
    for (let cursor = '0'; cursor !== ''; ) {
      const args = [group, idleMs, cursor, heldPerScript]
      const reply = await this.#options.sessions.within((session) => session.run('owners', partition, keys, args))
      const [next, ...found] = listOf(reply).map(textOf)
      for (const name of found) names.add(name)
      cursor = next!
    }
    return names
  }
}

/** A group in a heartbeat. JSON, so that no other text contains it. */
function groupText(topic: string, group: string): string {
  return JSON.stringify([topic, group])
}

/** The shortest lease in a process, from its heartbeat. */
function leaseIn(beat: string): number {
  return Number.parseInt(beat, 10) || defaultLeaseMs
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
  sessions: Sessions,
  partition: PartitionKeys,
  group: string,
  name: string,
  { isGivenBack, keep = [], most = Number.POSITIVE_INFINITY }: ReleaseOptions,
): Promise<number> {
  const keys = partition.forGroup(group)
  let scripts = 0
  for (let cursor = '0'; cursor !== '' && scripts < most; scripts++) {
    const args = [group, name, isGivenBack ? 1 : 0, maxReleasedPerScript, cursor, ...keep]
    cursor = textOf(await sessions.within((session) => session.run('release', partition, keys, args)))
  }
  return scripts
}
