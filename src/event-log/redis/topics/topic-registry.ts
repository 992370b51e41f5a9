// The topics with their partitions and groups, in one epoch: the registry on the server, and this session's copy of it.
//
// A change is made in the registry first, which counts its changes; then make-partition.lua makes each partition what
// the registry says. So a change that was interrupted is completed by the next process that opens the log or declares
// the topic, and a process with an older copy of the registry cannot undo a change: the partition refuses it.

import { MillraceError } from '../../../errors.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import { checkDeclaration, refuseFewerPartitions, refuseOtherOrder } from '../../check-declaration.ts'
import type { Flow, GroupDeclaration, TopicDeclaration } from '../../event-log.ts'
import { listOf, numberOf, type RedisConnection, type Reply, textOf } from '../connection/redis-connection.ts'
import type { BlockedLanes } from '../guard/blocked-lanes.ts'
import type { PartitionKeys, RedisKeys } from '../redis-keys.ts'
import type { PartitionCall, PartitionMemory } from '../session/partition-memory.ts'
import { SessionOver, throwIfOver, wordOf } from '../session/session-over.ts'
import { checkStreams } from './check-streams.ts'
import { type KnownTopic, type RegistryContent, readRegistry, stateOfFlow } from './registry-content.ts'

export interface TopicRegistryOptions {
  readonly connection: RedisConnection
  readonly keys: RedisKeys
  readonly logger: Pick<Logger, 'warn'>
  /** A registry of another epoch is not used. */
  readonly epoch: number
  /** What the session remembers of a partition. */
  readonly memoryOf: (partition: PartitionKeys) => PartitionMemory
  /** Runs a script with what the session knows of the partition. */
  readonly runWith: (...call: PartitionCall) => Promise<Reply>
  /** Has a partition count what this process knows from earlier epochs to be lost. */
  readonly offer: (partition: PartitionKeys) => Promise<void>
  readonly blockedLanes: BlockedLanes
}

/** How many partitions are made at once: one server that does not reply must not cost its timeout for each of them. */
const madeAtOnce = 16

/** Max pending entries of a group that one script acknowledges in each lane; it blocks the server while it runs. */
const droppedPerScript = 1000

export class TopicRegistry {
  readonly #options: TopicRegistryOptions
  #content: RegistryContent
  /** Partitions that have not entered the epoch that this process begins; each does so at its first use at the latest. */
  readonly #outside = new Set<PartitionKeys>()

  constructor(options: TopicRegistryOptions) {
    this.#options = options
    this.#content = { epoch: options.epoch, version: 0, topics: new Map() }
  }

  get topics(): ReadonlyMap<string, KnownTopic> {
    return this.#content.topics
  }

  has({ topic, number }: PartitionKeys): boolean {
    return this.topics.get(topic)?.partitions[number] !== undefined
  }

  /** Reads the registry. Throws SessionOver when it is of another epoch, or lacks something that this session knows. */
  async refresh(): Promise<void> {
    const { connection, keys, epoch, memoryOf } = this.#options
    const content = readRegistry(await connection.command('HGETALL', keys.topics), keys)
    if (content.epoch !== epoch) throw new SessionOver(content.epoch === 0 ? 'gone' : 'elsewhere', epoch, content.epoch)
    // Topics and partitions are never removed: a replica that was behind has become master.
    const lacks = ({ name, partitions }: KnownTopic) =>
      (content.topics.get(name)?.partitions.length ?? 0) < partitions.length
    if (content.version < this.#content.version || [...this.topics.values()].some(lacks)) {
      throw new SessionOver('behind', epoch, epoch)
    }
    this.#content = content
    for (const { partitions, groups } of content.topics.values()) {
      for (const partition of partitions) memoryOf(partition).keepOnly(groups)
    }
  }

  /** Stores a declaration, then makes the partitions, also what another process declared and did not finish. */
  async declare(topic: string, declaration: TopicDeclaration): Promise<void> {
    checkDeclaration(topic, declaration)
    const { partitions, groups } = declaration
    await this.refresh()
    checkStreams(topic, declaration, this.topics)
    this.#checkOrder(topic, groups)
    for (let known = -1; known < 0; ) {
      await this.finishDrops()
      known = await this.#register(topic, partitions, groups)
      await this.refresh()
      // Another process may have declared them meanwhile.
      this.#checkOrder(topic, groups)
      refuseFewerPartitions(topic, declaration, known)
    }
    await this.make(topic)
  }

  #checkOrder(topic: string, declared: readonly GroupDeclaration[]): void {
    const known = this.topics.get(topic)
    for (const group of declared) {
      if (known?.groups.has(group.name) === true) refuseOtherOrder(topic, group, known.ordered.has(group.name))
    }
  }

  /**
   * Begins the epoch in every partition that can be reached, with what this process has declared. The others must not
   * keep these from it: they may be on a server that is down.
   */
  async begin(declared: ReadonlyMap<string, TopicDeclaration>): Promise<void> {
    for (const [topic, { partitions, groups }] of declared) {
      // One by one: a group that is being dropped must not keep the others from being stored.
      await this.#register(topic, partitions, [])
      for (const group of groups) await this.#register(topic, partitions, [group])
    }
    await this.refresh()
    for (const { partitions } of this.topics.values()) for (const each of partitions) this.#outside.add(each)
    for (const topic of this.topics.keys()) await this.#makeAll(topic)
    if (this.#outside.size === 0) await this.finishDrops()
  }

  /** Has a partition enter the epoch if it could not when the epoch began. */
  async enter(partition: PartitionKeys): Promise<void> {
    if (this.#outside.has(partition)) await this.makePartition(partition)
  }

  /** Makes the partitions of a topic what the registry says. Throws the first failure when all others have been made. */
  async make(topic: string): Promise<void> {
    for (const failure of await this.#makeAll(topic)) throw failure
  }

  /** The same, but returns the failures. Throws only SessionOver. */
  async #makeAll(topic: string): Promise<readonly unknown[]> {
    const { connection, keys, offer } = this.#options
    const { partitions, made } = this.topics.get(topic)!
    const failures: unknown[] = []
    const makeOne = async (partition: PartitionKeys) => {
      await this.makePartition(partition)
      await offer(partition)
    }
    for (let from = 0; from < partitions.length; from += madeAtOnce) {
      const some = await Promise.allSettled(partitions.slice(from, from + madeAtOnce).map(makeOne))
      for (const one of some) if (one.status === 'rejected') failures.push(one.reason)
      for (const failure of failures) if (failure instanceof SessionOver) throw failure
    }
    if (failures.length > 0) return failures
    // From now on a missing partition means that it was lost.
    if (made !== partitions.length) await connection.command('HSET', keys.topics, `\0${topic}`, partitions.length)
    return []
  }

  /** The same for one partition; also recreates the groups that its streams have lost. */
  async makePartition(partition: PartitionKeys): Promise<void> {
    for (;;) {
      const reply = await this.#unlessStale(() => this.#runMake(partition))
      this.#outside.delete(partition)
      const [recreated, again, lost, others, blocked, ...ledgers] = listOf(reply)
      this.#report(partition, numberOf(recreated), numberOf(again), numberOf(lost))
      this.#options.memoryOf(partition).noteLedgers(ledgers)
      this.#options.blockedLanes.noteAll(partition, blocked)
      const { dropping } = this.topics.get(partition.topic)!
      const lacking = pairsOf(others).filter(([group]) => !dropping.includes(group))
      if (lacking.length === 0) return
      await this.#adopt(partition, lacking)
    }
  }

  async #runMake(partition: PartitionKeys): Promise<Reply> {
    const { connection, epoch } = this.#options
    const phase = this.#outside.has(partition) ? 'begin' : ''
    const { groups, ordered, made } = this.topics.get(partition.topic)!
    const mark = (group: string) => (ordered.has(group) ? 'o' : '')
    const states = Array.from(groups, ([group, flow]) => [group, mark(group) + stateOfFlow(flow)])
    const args = [epoch, phase, partition.number < made ? 'made' : '', this.#content.version, ...states.flat()]
    const reply = await connection.run('make-partition', partition.forMake(), args)
    throwIfOver(reply, epoch)
    return reply
  }

  /** Reads the registry and does the work again while the partition has a later version of it. */
  async #unlessStale(work: () => Promise<Reply>): Promise<Reply> {
    for (;;) {
      const { version } = this.#content
      const reply = await work()
      if (wordOf(reply) !== 'stale') return reply
      await this.refresh()
      const { epoch } = this.#options
      if (this.#content.version <= version) throw new SessionOver('behind', epoch, epoch)
    }
  }

  /** The registry was lost, and lacks what the partition still has: groups that were not declared again, pauses and rates. */
  async #adopt({ topic }: PartitionKeys, groups: readonly (readonly [string, string])[]): Promise<void> {
    const { partitions } = this.topics.get(topic)!
    const known = groups.map(([name, state]) => ({
      name,
      ordered: state.startsWith('o'),
      state: state.replace(/^o/, ''),
    }))
    await this.#register(topic, partitions.length, known)
    for (const { name, state } of known) if (state !== '-') await this.#change(topic, name, state)
    await this.refresh()
  }

  #report({ books }: PartitionKeys, streams: number, eventsAgain: number, eventsLost: number): void {
    if (streams === 0) return
    const facts = { partition: books, streams, eventsAgain, eventsLost }
    const text = 'Redis had lost consumer groups: recreated at their last fully settled offset'
    this.#options.logger.warn(facts, text)
  }

  /** Returns false when there is no such group. */
  async setFlow(topic: string, group: string, flow: Flow | null): Promise<boolean> {
    const isKnown = await this.#change(topic, group, stateOfFlow(flow))
    await this.refresh()
    if (isKnown) await this.make(topic)
    return isKnown
  }

  /** Drops a group and returns how many events waited for it; null when there is no such group. */
  async drop(topic: string, group: string): Promise<number | null> {
    const isKnown = await this.#change(topic, group, 'drop')
    await this.refresh()
    return isKnown ? this.#finishDrop(topic, group) : null
  }

  /** Finishes drops that another process has begun. */
  async finishDrops(): Promise<void> {
    for (const { name, dropping } of this.topics.values()) {
      for (const group of dropping) await this.#finishDrop(name, group)
    }
  }

  async #finishDrop(topic: string, group: string): Promise<number> {
    await this.make(topic)
    let waited = 0
    for (const partition of this.topics.get(topic)!.partitions) waited += await this.#dropFrom(partition, group)
    await this.#change(topic, group, 'gone')
    await this.refresh()
    return waited
  }

  async #dropFrom(partition: PartitionKeys, group: string): Promise<number> {
    const { runWith } = this.#options
    const step = async (): Promise<Reply> => {
      // Another process may have finished the drop, and the name be another group's.
      if (this.topics.get(partition.topic)?.dropping.includes(group) !== true) return [0, 0]
      const args = [group, this.#content.version, droppedPerScript]
      return await runWith('drop-group', partition, partition.forDrop(group), args)
    }
    for (;;) {
      const [isMore, waited] = listOf(await this.#unlessStale(step))
      if (isMore === 0) return numberOf(waited)
    }
  }

  /** Returns 0; the topic's partition count when that is larger; -1 when one of the groups is being dropped. */
  async #register(topic: string, partitions: number, groups: readonly GroupDeclaration[]): Promise<number> {
    const { connection, keys } = this.#options
    const words = groups.flatMap(({ name, ordered }) => [name, ordered === true ? 'o-' : '-'])
    return numberOf(await connection.run('register-topic', [keys.topics], [topic, partitions, ...words]))
  }

  /** Changes the registry and waits for the replicas, so that it is not behind the partitions after a failover. */
  async #change(topic: string, group: string, state: string): Promise<boolean> {
    const { connection, keys } = this.#options
    const { reply, isReached } = await connection.runDurably('set-group', [keys.topics], [topic, group, state])
    if (isReached) return reply === 1
    throw new MillraceError('unavailable', 'too few Redis replicas acknowledged the change in time; retry the call')
  }
}

function pairsOf(reply: Reply | undefined): readonly (readonly [string, string])[] {
  const words = listOf(reply).map(textOf)
  return words.flatMap((word, at) => (at % 2 === 0 ? [[word, words[at + 1]!] as const] : []))
}

export function groupNotFound(topic: string, group: string): MillraceError {
  return new MillraceError('not_found', `there is no group "${group}" of a topic "${topic}"`, { field: 'group' })
}
