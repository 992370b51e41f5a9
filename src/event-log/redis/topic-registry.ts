// Which topics there are, with their partitions and groups: what the server says, and what this process knows of it.

import { MillraceError } from '../../errors.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { TopicDeclaration } from '../event-log.ts'
import { Bell } from './bell.ts'
import { EpochOver, refuseOver } from './epochs.ts'
import { listOf, numberOf, type RedisConnection, type Reply, textOf } from './redis-connection.ts'
import { epochField, lastNumberField, type PartitionKeys, type RedisKeys } from './redis-keys.ts'

const maxPartitions = 1024
const maxNameLength = 255

/** More streams than this are a mistake: each costs a look whenever somebody waits for work. */
const maxStreams = 100_000

/** How many pending entries of a group one script lets go of; the server does nothing else while it runs. */
const droppedPerScript = 1000

/** What the server knows of a group besides its name. */
export interface KnownGroup {
  /** Tells it from those that had its name before. */
  readonly number: number
  /** Null while it is not paused. */
  readonly paused: string | null
  /** Of the last pausing or going on; 0 when there was none. */
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
  /** The epoch of this process: what the server says in another is not believed. */
  readonly epoch: () => number
}

/** What is remembered of a group when the registry may have been lost (restore-topic.lua). */
interface GroupMemory extends Partial<KnownGroup> {
  readonly group: string
  readonly number: number
  readonly state: 'group' | 'drop' | 'dropped'
}

/** What a partition, or all of a topic, knows better than the registry. */
interface BetterKnown {
  readonly lastNumber: number
  readonly groups: readonly GroupMemory[]
}

/** How a partition is made: `made` must be there, `begin` takes its part in a new epoch as it is. */
type Making = 'new' | 'made' | 'begin'

export class TopicRegistry {
  readonly #connection: RedisConnection
  readonly #keys: RedisKeys
  readonly #logger: Pick<Logger, 'warn'>
  readonly #epoch: () => number
  #topics: ReadonlyMap<string, KnownTopic> = new Map()
  /** Groups of which some partitions may have something still. */
  #dropping: readonly DroppedGroup[] = []
  /** Of each name the last group of which nothing is left. */
  #dropped: readonly DroppedGroup[] = []
  /** The last number that was given. */
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

  /** Reads what the server knows now. Throws EpochOver when it is of another epoch, or lacks what is known. */
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
      // Nobody takes topics or partitions away, and of groups a number is left: a master that was behind has taken over.
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
        // The same objects as before: whoever remembers a partition goes by them.
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

  /** Remembers a declaration, then makes what is missing of the topic: also what another declared and did not finish. */
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
          `topic "${topic}" has ${known} partitions; it was declared with ${partitions}, and partitions cannot be taken away`,
          { field: 'partitions' },
        )
      }
      // A group whose name was dropped under a higher number is given a new one.
    } while (await this.make(topic, epoch))
  }

  /** Answers 0, or how many partitions the topic has when it has more. */
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
   * Makes what is missing in the partitions of a topic, and tells them which groups are paused. Throws EpochOver when one
   * is of another epoch, or was lost. Answers whether partitions knew better than the registry which groups there are.
   */
  make(topic: string, epoch: number): Promise<boolean> {
    const made = this.#made.get(topic) ?? 0
    return this.#makeAll(topic, epoch, (number) => (number < made ? 'made' : 'new'))
  }

  /** Makes the groups of a partition again that the server has forgotten. */
  async makeAgain(partition: PartitionKeys, epoch: number): Promise<void> {
    await this.#make(partition, epoch, 'made', [])
  }

  /** Declares everything that is known in a new epoch. Throws EpochOver when there is a later one already. */
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
    // Others may have brought back what this process knows to be dropped.
    await this.finishDrops()
  }

  async #restore({ name, partitions }: KnownTopic, { lastNumber, groups }: BetterKnown): Promise<void> {
    const words = groups.map(({ group, state, number, pauseNumber = 0, paused = null }) => {
      return [group, state, number, pauseNumber, paused === null ? '-' : `+${paused}`]
    })
    const args = [name, partitions.length, lastNumber, ...words.flat()]
    await this.#connection.run('restore-topic', [this.#keys.topics], args)
  }

  async #makeAll(topic: string, epoch: number, how: (number: number) => Making): Promise<boolean> {
    const { partitions, groupFacts } = this.#topics.get(topic)!
    const groups = Array.from(groupFacts, ([group, { number }]) => [group, number]).flat()
    const known: BetterKnown[] = []
    for (const [number, partition] of partitions.entries()) {
      known.push(await this.#make(partition, epoch, how(number), groups))
    }
    if (this.#made.get(topic) !== partitions.length) {
      // One that is missing later was lost.
      await this.#connection.command('HSET', this.#keys.topics, `\0${topic}`, partitions.length)
    }
    const better = {
      lastNumber: Math.max(...known.map(({ lastNumber }) => lastNumber)),
      groups: known.flatMap((each) => each.groups),
    }
    if (better.groups.length > 0 || better.lastNumber > this.#lastNumber) {
      await this.#restore(this.#topics.get(topic)!, better)
      await this.#read(() => epoch)
      await this.finishDrops()
    }
    for (const [group, { pauseNumber }] of this.#topics.get(topic)!.groupFacts) {
      if (pauseNumber > 0) await this.#tellPause(topic, group)
    }
    return better.groups.length > 0
  }

  async #make(
    partition: PartitionKeys,
    epoch: number,
    how: Making,
    groups: readonly (string | number)[],
  ): Promise<BetterKnown> {
    const reply = await this.#connection.run('make-partition', partition.forMake(), [epoch, how, ...groups])
    refuseOver(reply, epoch)
    const [, forgotten = 0, again = 0, lost = 0, lastNumber = 0] = listOf(reply).slice(0, 5).map(numberOf)
    if (forgotten > 0) {
      const facts = { partition: partition.books, streams: forgotten, eventsAgain: again, eventsLost: lost }
      this.#logger.warn(facts, 'Redis had forgotten groups: they are made again where everything before was settled')
    }
    const names = listOf(reply).slice(5).map(textOf)
    const better: GroupMemory[] = []
    for (let at = 0; at + 2 < names.length; at += 3) {
      const state = names[at + 1] === 'dropped' ? 'dropped' : 'group'
      better.push({ group: names[at]!, state, number: Number(names[at + 2]) })
    }
    return { lastNumber, groups: better }
  }

  /** Pauses a group, or lets it go on. Answers false when there is no such group. */
  async setPaused(topic: string, group: string, reason: string | null): Promise<boolean> {
    const state = reason === null ? ['0', ''] : ['1', reason]
    const known = await this.#remember('pause-group', [topic, group, ...state])
    await this.refresh()
    if (known === 0) return false
    await this.#tellPause(topic, group)
    return true
  }

  /** Drops a group and answers how many events waited for it; null when there is no such group. */
  async drop(topic: string, group: string): Promise<number | null> {
    const number = numberOf(await this.#remember('unregister-group', [topic, group, '']))
    await this.refresh()
    return number === 0 ? null : this.#freePartitions({ topic, group, number })
  }

  /** Goes on where others have ended before a group was wholly dropped. */
  async finishDrops(): Promise<void> {
    for (const dropped of this.#dropping) await this.#freePartitions(dropped)
  }

  /** Changes the registry, so that no master that takes over knows less of it than the partitions do. */
  async #remember(script: 'pause-group' | 'unregister-group', args: readonly string[]): Promise<Reply> {
    const { reply, isReached } = await this.#connection.runDurably(script, [this.#keys.topics], args)
    if (!isReached) throw new MillraceError('unavailable', 'the replicas did not answer in time: call again')
    return reply
  }

  async #tellPause(topic: string, group: string): Promise<void> {
    const { partitions, groupFacts } = this.#topics.get(topic)!
    const facts = groupFacts.get(group)
    // Dropped meanwhile.
    if (facts === undefined) return
    const { number, paused, pauseNumber } = facts
    const state = paused === null ? ['0', ''] : ['1', paused]
    for (const { books, bell } of partitions) {
      await this.#connection.run('set-paused', [books, bell], [group, number, pauseNumber, ...state])
    }
  }

  async #freePartitions({ topic, group, number }: DroppedGroup): Promise<number> {
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
      `topic "${topic}" with ${partitions} partitions would make ${streams} streams; ${maxStreams} is the limit`,
      { field: 'partitions' },
    )
  }
}

/** Reads what pause-group.lua has written. */
function readPause(value: string | undefined): Pick<KnownGroup, 'paused' | 'pauseNumber'> {
  if (value === undefined) return { paused: null, pauseNumber: 0 }
  const [, number, state, reason = ''] = /^(\d+) ([+-])(.*)$/s.exec(value) ?? []
  return { paused: state === '+' ? reason : null, pauseNumber: Number(number) }
}

export function groupNotFound(topic: string, group: string): MillraceError {
  return new MillraceError('not_found', `there is no group "${group}" of a topic "${topic}"`, { field: 'group' })
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
