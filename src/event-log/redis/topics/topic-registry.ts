// The topics with their partitions and groups: the registry on the server, and this process's copy of it.

import { MillraceError } from '../../../errors.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import type { TopicDeclaration } from '../../event-log.ts'
import { listOf, numberOf, type RedisConnection, type Reply, textOf } from '../connection/redis-connection.ts'
import { Bell } from '../consume/bell.ts'
import { epochField, lastNumberField, type PartitionKeys, type RedisKeys } from '../redis-keys.ts'
import { EpochOver, throwIfOver } from './epochs.ts'

const maxPartitions = 1024
const maxNameLength = 255

/** Max streams: each costs a poll whenever a consumer waits. */
const maxStreams = 100_000

/** Max pending entries of a group that one script acknowledges in each lane; it blocks the server while it runs. */
const droppedPerScript = 1000

/** What the registry stores of a group besides its name. */
export interface KnownGroup {
  /** Distinguishes the group from earlier groups of the same name. */
  readonly number: number
  /** Null while it is not paused. */
  readonly paused: string | null
  /** Number of the last pause or resume; 0 when there was none. */
  readonly pauseNumber: number
}

export interface KnownTopic {
  readonly name: string
  readonly groups: ReadonlySet<string>
  readonly groupFacts: ReadonlyMap<string, KnownGroup>
  readonly partitions: readonly PartitionKeys[]
  readonly bell: Bell<PartitionKeys>
}

interface DroppedGroup {
  readonly topic: string
  readonly group: string
  readonly number: number
}

export interface TopicRegistryOptions {
  readonly connection: RedisConnection
  readonly keys: RedisKeys
  readonly logger: Pick<Logger, 'warn'>
  /** The epoch of this process; a registry of another epoch is not used. */
  readonly epoch: () => number
}

/** What this process remembers of a group, for a registry that may have been lost (restore-topic.lua). */
interface GroupMemory extends Partial<KnownGroup> {
  readonly group: string
  readonly number: number
  readonly state: 'group' | 'drop' | 'dropped'
}

/** Facts in a topic's partitions that are newer than the registry. */
interface NewerFacts {
  readonly lastNumber: number
  readonly groups: readonly GroupMemory[]
}

/** How a partition is made: `made` must exist already; `begin` enters a new epoch, whether it exists or not. */
type Making = 'new' | 'made' | 'begin'

export class TopicRegistry {
  readonly #connection: RedisConnection
  readonly #keys: RedisKeys
  readonly #logger: Pick<Logger, 'warn'>
  readonly #epoch: () => number
  #topics: ReadonlyMap<string, KnownTopic> = new Map()
  /** Groups that are being dropped: some partitions may still have them. */
  #dropping: readonly DroppedGroup[] = []
  /** For each name, the last group that was dropped completely. */
  #dropped: readonly DroppedGroup[] = []
  /** The last assigned number. */
  #lastNumber = 0
  /** How many partitions of each topic are known to have been made. */
  #made: ReadonlyMap<string, number> = new Map()

  constructor({ connection, keys, logger, epoch }: TopicRegistryOptions) {
    this.#connection = connection
    this.#keys = keys
    this.#logger = logger
    this.#epoch = epoch
  }

  get topics(): ReadonlyMap<string, KnownTopic> {
    return this.#topics
  }

  /** Reads the registry. Throws EpochOver when it is of another epoch, or lacks something that this process knows. */
  async refresh(): Promise<void> {
    await this.#read(this.#epoch)
  }

  async #read(wanted: () => number): Promise<void> {
    const fields = listOf(await this.#connection.command('HGETALL', this.#keys.topics))
    let stored = 0
    const partitions = new Map<string, number>()
    const numbers = new Map<string, Map<string, number>>()
    const pauses = new Map<string, string>()
    const dropping: DroppedGroup[] = []
    const dropped: DroppedGroup[] = []
    let lastNumber = 0
    const made = new Map<string, number>()
    for (let at = 0; at + 1 < fields.length; at += 2) {
      const field = textOf(fields[at])
      const value = fields[at + 1]
      const [topic = '', group, state] = field.split('\0')
      if (field === epochField) stored = numberOf(value)
      else if (field === lastNumberField) lastNumber = numberOf(value)
      else if (group === undefined) partitions.set(topic, numberOf(value))
      else if (topic === '' && state === undefined) made.set(group, numberOf(value))
      else if (state === undefined) numbers.set(topic, (numbers.get(topic) ?? new Map()).set(group, numberOf(value)))
      else if (state === 'pause') pauses.set(`${topic}\0${group}`, textOf(value))
      else if (state === 'drop') dropping.push({ topic, group, number: numberOf(value) })
      else if (state === 'dropped') dropped.push({ topic, group, number: numberOf(value) })
    }
    const epoch = wanted()
    if (stored !== epoch) throw new EpochOver(stored === 0 ? 'gone' : 'elsewhere', epoch, stored)
    const isDropped = (topic: string, group: string, number: number) =>
      [...dropping, ...dropped].some((each) => each.topic === topic && each.group === group && each.number >= number)
    for (const { name, partitions: known, groupFacts } of this.#topics.values()) {
      // Topics and partitions are never removed, and a dropped group leaves its number. So if something is missing, a
      // replica that was behind has become master.
      const lacks = ([group, { number }]: [string, KnownGroup]) =>
        numbers.get(name)?.has(group) !== true && !isDropped(name, group, number)
      if ((partitions.get(name) ?? 0) < known.length || [...groupFacts].some(lacks)) {
        throw new EpochOver('behind', epoch, epoch)
      }
    }
    this.#dropping = dropping
    this.#dropped = dropped
    this.#lastNumber = lastNumber
    this.#made = made
    this.#topics = new Map(
      Array.from(partitions, ([name, count]) => {
        const known = this.#topics.get(name)
        // Keep the existing objects: PartitionKeys objects are used as map keys.
        const makeKeys = (_: unknown, number: number) => known?.partitions[number] ?? this.#keys.partition(name, number)
        const keys = Array.from({ length: count }, makeKeys)
        const bell = known?.bell ?? new Bell<PartitionKeys>()
        const groupFacts = new Map<string, KnownGroup>()
        for (const [group, number] of numbers.get(name) ?? []) {
          groupFacts.set(group, { number, ...readPause(pauses.get(`${name}\0${group}`)) })
        }
        return [name, { name, groups: new Set(groupFacts.keys()), groupFacts, partitions: keys, bell }]
      }),
    )
  }

  /** Stores a declaration, then creates what the topic lacks, also what another process declared and did not finish. */
  async declare(topic: string, declaration: TopicDeclaration, epoch: number): Promise<void> {
    checkDeclaration(topic, declaration)
    const { partitions, groups } = declaration
    await this.refresh()
    this.#checkStreams(topic, declaration)
    const names = groups.map(({ name }) => name)
    do {
      const known = await this.#register(topic, partitions, names)
      if (known > 0) {
        throw new MillraceError(
          'failed_precondition',
          `topic "${topic}" has ${known} partitions and was declared with ${partitions}; partitions cannot be removed, declare at least ${known}`,
          { field: 'partitions' },
        )
      }
      // Again for a group whose name was dropped under a higher number: it gets a new number.
    } while (await this.make(topic, epoch))
  }

  /** Returns 0, or the topic's partition count when that is larger. */
  async #register(topic: string, partitions: number, groups: readonly string[]): Promise<number> {
    for (;;) {
      await this.finishDrops()
      const args = [topic, partitions, ...groups]
      const known = numberOf(await this.#connection.run('register-topic', [this.#keys.topics], args))
      await this.refresh()
      if (known >= 0) return known
    }
  }

  /**
   * Creates what is missing in the partitions of a topic, and applies the pauses of its groups. Throws EpochOver when a
   * partition is of another epoch, or was lost. Returns whether partitions had newer facts about groups than the
   * registry.
   */
  make(topic: string, epoch: number): Promise<boolean> {
    const made = this.#made.get(topic) ?? 0
    return this.#makeAll(topic, epoch, (number) => (number < made ? 'made' : 'new'))
  }

  /** Recreates the groups of a partition that the server has lost. */
  async recreateGroups(partition: PartitionKeys, epoch: number): Promise<void> {
    await this.#make(partition, epoch, 'made', [])
  }

  /** Declares every known topic in a new epoch. Throws EpochOver when there is a later epoch already. */
  async begin(epoch: number): Promise<void> {
    for (const topic of this.#topics.values()) {
      const groups: GroupMemory[] = Array.from(topic.groupFacts, ([group, facts]) => ({
        ...{ group, state: 'group', ...facts },
      }))
      for (const { group, number } of this.#dropping.filter((each) => each.topic === topic.name)) {
        groups.push({ group, number, state: 'drop' })
      }
      for (const { group, number } of this.#dropped.filter((each) => each.topic === topic.name)) {
        groups.push({ group, number, state: 'dropped' })
      }
      await this.#restore(topic, { lastNumber: this.#lastNumber, groups })
    }
    await this.#read(() => epoch)
    for (const topic of this.#topics.keys()) await this.#makeAll(topic, epoch, () => 'begin')
    // Another process may have restored a group that this process knows to be dropped.
    await this.finishDrops()
  }

  async #restore({ name, partitions }: KnownTopic, { lastNumber, groups }: NewerFacts): Promise<void> {
    const words = groups.map(({ group, state, number, pauseNumber = 0, paused = null }) => {
      return [group, state, number, pauseNumber, paused === null ? '-' : `+${paused}`]
    })
    const args = [name, partitions.length, lastNumber, ...words.flat()]
    await this.#connection.run('restore-topic', [this.#keys.topics], args)
  }

  async #makeAll(topic: string, epoch: number, how: (number: number) => Making): Promise<boolean> {
    const { partitions, groupFacts } = this.#topics.get(topic)!
    const groups = Array.from(groupFacts, ([group, { number }]) => [group, number]).flat()
    const known: NewerFacts[] = []
    for (const [number, partition] of partitions.entries()) {
      known.push(await this.#make(partition, epoch, how(number), groups))
    }
    if (this.#made.get(topic) !== partitions.length) {
      // From now on a missing partition means that it was lost.
      await this.#connection.command('HSET', this.#keys.topics, `\0${topic}`, partitions.length)
    }
    const newer = {
      lastNumber: Math.max(...known.map(({ lastNumber }) => lastNumber)),
      groups: known.flatMap((each) => each.groups),
    }
    if (newer.groups.length > 0 || newer.lastNumber > this.#lastNumber) {
      await this.#restore(this.#topics.get(topic)!, newer)
      await this.#read(() => epoch)
      await this.finishDrops()
    }
    for (const [group, { pauseNumber }] of this.#topics.get(topic)!.groupFacts) {
      if (pauseNumber > 0) await this.#applyPause(topic, group)
    }
    return newer.groups.length > 0
  }

  async #make(
    partition: PartitionKeys,
    epoch: number,
    how: Making,
    groups: readonly (string | number)[],
  ): Promise<NewerFacts> {
    const reply = await this.#connection.run('make-partition', partition.forMake(), [epoch, how, ...groups])
    throwIfOver(reply, epoch)
    const [, recreated = 0, again = 0, lost = 0, lastNumber = 0] = listOf(reply).slice(0, 5).map(numberOf)
    if (recreated > 0) {
      const facts = { partition: partition.books, streams: recreated, eventsAgain: again, eventsLost: lost }
      this.#logger.warn(facts, 'Redis had lost consumer groups: recreated at their last fully settled offset')
    }
    const names = listOf(reply).slice(5).map(textOf)
    const newer: GroupMemory[] = []
    for (let at = 0; at + 2 < names.length; at += 3) {
      const state = names[at + 1] === 'dropped' ? 'dropped' : 'group'
      newer.push({ group: names[at]!, state, number: Number(names[at + 2]) })
    }
    return { lastNumber, groups: newer }
  }

  /** Pauses a group, or resumes it (null). Returns false when there is no such group. */
  async setPaused(topic: string, group: string, reason: string | null): Promise<boolean> {
    const state = reason === null ? ['0', ''] : ['1', reason]
    const known = await this.#remember('pause-group', [topic, group, ...state])
    await this.refresh()
    if (known === 0) return false
    await this.#applyPause(topic, group)
    return true
  }

  /** Drops a group and returns how many events waited for it; null when there is no such group. */
  async drop(topic: string, group: string): Promise<number | null> {
    const number = numberOf(await this.#remember('unregister-group', [topic, group, '']))
    await this.refresh()
    return number === 0 ? null : this.#removeFromPartitions({ topic, group, number })
  }

  /** Finishes drops that another process has begun. */
  async finishDrops(): Promise<void> {
    for (const dropped of this.#dropping) await this.#removeFromPartitions(dropped)
  }

  /** Changes the registry and waits for the replicas, so that it is not behind the partitions after a failover. */
  async #remember(script: 'pause-group' | 'unregister-group', args: readonly string[]): Promise<Reply> {
    const { reply, isReached } = await this.#connection.runDurably(script, [this.#keys.topics], args)
    if (!isReached) {
      throw new MillraceError('unavailable', 'too few Redis replicas acknowledged the change in time; retry the call')
    }
    return reply
  }

  async #applyPause(topic: string, group: string): Promise<void> {
    const { partitions, groupFacts } = this.#topics.get(topic)!
    const facts = groupFacts.get(group)
    // The group was dropped meanwhile.
    if (facts === undefined) return
    const { number, paused, pauseNumber } = facts
    const state = paused === null ? ['0', ''] : ['1', paused]
    for (const { books, bell } of partitions) {
      await this.#connection.run('set-paused', [books, bell], [group, number, pauseNumber, ...state])
    }
  }

  async #removeFromPartitions({ topic, group, number }: DroppedGroup): Promise<number> {
    let events = 0
    for (const partition of this.#topics.get(topic)?.partitions ?? []) {
      for (let more = true; more; ) {
        const args = [group, number, droppedPerScript]
        const reply = listOf(await this.#connection.run('drop-group', partition.forDrop(group), args))
        more = reply[0] === 1
        if (!more) events += numberOf(reply[1])
      }
    }
    await this.#connection.run('unregister-group', [this.#keys.topics], [topic, group, number])
    return events
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
      `topic "${topic}" with ${partitions} partitions would need ${streams} streams; ` +
        `the limit is ${maxStreams}, declare fewer partitions or groups`,
      { field: 'partitions' },
    )
  }
}

/** Parses the value that pause-group.lua writes. */
function readPause(value: string | undefined): Pick<KnownGroup, 'paused' | 'pauseNumber'> {
  if (value === undefined) return { paused: null, pauseNumber: 0 }
  const [, number, state, reason = ''] = /^(\d+) ([+-])(.*)$/s.exec(value) ?? []
  return { paused: state === '+' ? reason : null, pauseNumber: Number(number) }
}

export function groupNotFound(topic: string, group: string): MillraceError {
  return new MillraceError('not_found', `there is no group "${group}" of a topic "${topic}"`, { field: 'group' })
}

/** Throws `failed_precondition` when a declaration is invalid. */
function checkDeclaration(topic: string, { partitions, groups }: TopicDeclaration): void {
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > maxPartitions) {
    throw new MillraceError(
      'failed_precondition',
      `topic "${topic}" was declared with ${partitions} partitions; declare 1 to ${maxPartitions}`,
      { field: 'partitions' },
    )
  }
  for (const name of [topic, ...groups.map((group) => group.name)]) {
    if (name !== '' && name.length <= maxNameLength && !name.includes('\0')) continue
    throw new MillraceError(
      'failed_precondition',
      `"${name}" is not a valid name: use 1 to ${maxNameLength} characters, none of them NUL`,
      { field: 'name' },
    )
  }
}
