// The names of all keys. The keys of one partition share a hash tag, so that they are in one slot and one script can
// use them all; docs/decisions/0007-redis-log.md describes their contents.

import { type Lane, lanes } from '../../event/event.ts'

/** Number of a lane in the scripts, from 1. */
export function laneNumber(lane: Lane): number {
  return lanes.indexOf(lane) + 1
}

export function laneOfNumber(number: number): Lane {
  const lane = lanes[number - 1]
  if (lane === undefined) throw new Error(`there is no lane ${number}`)
  return lane
}

/**
 * The layout of the keys and the meaning of their fields. A process refuses another one, because processes that disagree
 * would damage each other's log.
 */
export const layout = 3

export class RedisKeys {
  readonly #prefix: string
  /** By topic and number. */
  readonly #partitions = new Map<string, PartitionKeys[]>()

  constructor(prefix: string) {
    if (!/^[^{}\s]+$/.test(prefix)) {
      throw new Error(`prefix "${prefix}" is invalid: it must not be empty or contain braces or spaces`)
    }
    this.#prefix = prefix
  }

  /** The registry: epoch, topics, their partitions and groups. One hash, so they are lost together or not at all. */
  get topics(): string {
    return `${this.#prefix}:topics`
  }

  /** Never created: used to check which commands the user may run on a key of the prefix. */
  get probe(): string {
    return `${this.#prefix}:probe`
  }

  /** Hash: the heartbeats of the processes that have consumers. */
  get members(): string {
    return `${this.#prefix}:members`
  }

  /** Hash: what the processes say of themselves. */
  get processes(): string {
    return `${this.#prefix}:processes`
  }

  /** The same object for each call: it identifies the partition in this process. */
  partition(topic: string, number: number): PartitionKeys {
    let known = this.#partitions.get(topic)
    if (known === undefined) {
      known = []
      this.#partitions.set(topic, known)
    }
    known[number] ??= new PartitionKeys(`${this.#prefix}:{${withoutBraces(topic)}/${number}}`, topic, number)
    return known[number]
  }
}

/** The keys of one partition. Names chosen by callers, other than the topic, come after the hash tag. */
export class PartitionKeys {
  readonly #base: string
  readonly topic: string
  readonly number: number
  readonly books: string
  /** The channel on which scripts announce new work. Not a key, but in the same slot. */
  readonly bell: string
  /** The topic's streams: high, normal, low. */
  readonly streams: readonly string[]

  constructor(base: string, topic: string, number: number) {
    this.#base = base
    this.topic = topic
    this.number = number
    this.books = `${base}:books`
    this.bell = `${base}:bell`
    this.streams = lanes.map((lane) => `${base}:lane:${lane}`)
  }

  stream(lane: Lane): string {
    return this.streams[laneNumber(lane) - 1]!
  }

  /** The KEYS of append.lua. */
  forAppend(): string[] {
    return [...this.#ofProducers(), this.request('')]
  }

  /** The KEYS of make-partition.lua. */
  forMake(): string[] {
    return [...this.#ofProducers(), `${this.#base}:`]
  }

  /** The KEYS of the scripts that work on one group. */
  forGroup(group: string): string[] {
    const due = lanes.map((lane) => this.due(group, lane))
    const own = [this.again(group), this.tries(group), this.held(group)]
    return [this.books, ...this.streams, ...due, ...own, this.bell, this.againKeys(group)]
  }

  /** The KEYS of held-keys.lua, and of release-key.lua. */
  forHeldKeys(group: string, lane: Lane): string[] {
    const own = [this.tries(group), this.held(group), this.againKeys(group), this.due(group, lane)]
    return [this.books, ...own, this.bell]
  }

  /** The KEYS of settle.lua. */
  forSettle(group: string): string[] {
    return [...this.forGroup(group), this.request(''), this.inbox('')]
  }

  /** The KEYS of drop-group.lua. */
  forDrop(group: string): string[] {
    return [...this.forGroup(group), this.permits(group)]
  }

  /** The KEYS of permits.lua. */
  forPermits(group: string): string[] {
    return [this.books, this.permits(group)]
  }

  /** The KEYS of reopen.lua. */
  forReopen(group: string, lane: Lane): string[] {
    return [this.books, this.due(group, lane), this.again(group), this.tries(group), this.bell]
  }

  /** Hash: a request and its reply. */
  request(id: string): string {
    return `${this.#base}:request:${id}`
  }

  /** The channel on which replies are announced to an inbox. */
  inbox(name: string): string {
    return `${this.#base}:inbox:${name}`
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

  againKeys(group: string): string {
    return `${this.#base}:again-keys:${group}`
  }

  permits(group: string): string {
    return `${this.#base}:permits:${group}`
  }

  #ofProducers(): string[] {
    const base = this.#base
    const producers = [`${base}:producers`, `${base}:producer-last`, `${base}:producer:`]
    return [this.books, ...this.streams, ...producers, this.bell]
  }
}

/** Escapes braces, which would end the hash tag, or begin an empty one. */
function withoutBraces(name: string): string {
  return name.replace(/[%{}]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}
