// The names of all keys. Those of one partition share a hash tag, so that they live in one slot and one script may touch
// them; docs/decisions/0007-redis-log.md describes what is in each.

import { type Lane, lanes } from '../../event/event.ts'

/** The lanes as the scripts number them, from 1. */
export function laneNumber(lane: Lane): number {
  return lanes.indexOf(lane) + 1
}

export function laneOfNumber(number: number): Lane {
  const lane = lanes[number - 1]
  if (lane === undefined) throw new Error(`there is no lane ${number}`)
  return lane
}

/** In the hash of the topics: the number that begins anew when acknowledged entries were lost. */
export const epochField = '\0\0epoch'

/** In the same hash: the last number that was given to a group, or a change of one. */
export const lastNumberField = '\0\0last'

export class RedisKeys {
  readonly #prefix: string

  constructor(prefix: string) {
    if (!/^[^{}\s]+$/.test(prefix)) throw new Error(`the prefix "${prefix}" has a brace or a space, or is empty`)
    this.#prefix = prefix
  }

  /** The epoch, the topics, their partitions and groups: hash. Whoever loses one loses the others. */
  get topics(): string {
    return `${this.#prefix}:topics`
  }

  /** Never made: the server is asked what the user may do with it. */
  get probe(): string {
    return `${this.#prefix}:probe`
  }

  /** The beats of all consumers: hash. */
  get members(): string {
    return `${this.#prefix}:members`
  }

  partition(topic: string, partition: number): PartitionKeys {
    return new PartitionKeys(`${this.#prefix}:{${withoutBraces(topic)}/${partition}}`)
  }
}

/** The keys of one partition. Names that callers choose stand at the end, behind the hash tag. */
export class PartitionKeys {
  readonly #base: string
  readonly books: string
  readonly groups: string
  /** The channel that is rung when something new is there. No key, but in the same slot. */
  readonly bell: string
  /** The topic's streams: high, normal, low. */
  readonly streams: readonly string[]

  constructor(base: string) {
    this.#base = base
    this.books = `${base}:books`
    this.groups = `${base}:groups`
    this.bell = `${base}:bell`
    this.streams = lanes.map((lane) => `${base}:lane:${lane}`)
  }

  stream(lane: Lane): string {
    return this.streams[laneNumber(lane) - 1]!
  }

  /** As append.lua wants them. */
  forAppend(): string[] {
    const base = this.#base
    const producers = [`${base}:producers`, `${base}:producer-last`, `${base}:producer:`]
    return [this.books, this.groups, ...this.streams, ...producers, this.bell]
  }

  /** As make-partition.lua wants them. */
  forMake(): string[] {
    return [...this.forAppend(), `${this.#base}:`]
  }

  /** As the scripts want them that are about one group. */
  forGroup(group: string): string[] {
    const due = lanes.map((lane) => this.due(group, lane))
    const own = [this.again(group), this.tries(group), this.held(group)]
    return [this.books, ...this.streams, ...due, ...own, this.bell]
  }

  /** As drop-group.lua wants them. */
  forDrop(group: string): string[] {
    return [...this.forGroup(group), this.groups]
  }

  /** As reopen.lua wants them. */
  forReopen(group: string, lane: Lane): string[] {
    return [this.books, this.due(group, lane), this.again(group), this.tries(group), this.bell]
  }

  due(group: string, lane: Lane): string {
    return `${this.#base}:due:${lane}:${group}`
  }

  again(group: string): string {
    return `${this.#base}:again:${group}`
  }

  tries(group: string): string {
    return `${this.#base}:again-tries:${group}`
  }

  held(group: string): string {
    return `${this.#base}:again-held:${group}`
  }
}

/** A brace in a topic's name would end the hash tag, or begin an empty one. */
function withoutBraces(name: string): string {
  return name.replace(/[%{}]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}
