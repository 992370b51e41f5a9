// Finds the filters that an event matches, among many.
//
// Each filter stands under one of its conditions only, the one that the fewest other filters share. An event looks up its
// own attributes, source, prefixes of its subject and type by their hashes, and what it finds is then verified. So an event
// that nobody wants costs no more with 10,000 filters than with one, and nothing is made for it.

import { type EventFields, textOf } from '../event/record-batch.ts'
import { AttributeReader, type LiveFilter } from './live-filter.ts'

/** How many types are remembered with the globs that match them; then all are forgotten. */
const maxRememberedTypes = 10_000

/** What is found by its filter. */
export interface Filtered {
  readonly filter: LiveFilter
}

interface Standing<T> {
  readonly wanted: T
  /** The number of the last event that has found it: some events find it twice. */
  foundBy: number
}

/** The start values of the hashes, so that a source never finds what stands under a type. */
const kinds = { attribute: 0x811c9dc5, source: 0x2f0b4a27, subject: 0x5bd1e995, type: 0x1b873593 } as const
type Kind = keyof typeof kinds

/** One of a filter's conditions: an event that matches the filter has one of these hashes. */
interface Condition {
  readonly kind: Kind
  readonly hashes: readonly number[]
}

export class FilterIndex<T extends Filtered> {
  readonly #byHash = new Map<number, Standing<T>[]>()
  readonly #conditionOf = new Map<T, Condition | null>()
  /** How many filters stand under each kind: what none needs is not looked up. */
  readonly #used: Record<Kind, number> = { attribute: 0, source: 0, subject: 0, type: 0 }
  /** How many prefixes of each length stand under `subject`. */
  readonly #prefixesOfLength = new Map<number, number>()
  #longestPrefix = 0
  /** Those that have globs only. */
  readonly #byGlob = new Set<T>()
  readonly #globsOfType = new Map<string, readonly T[]>()
  readonly #unconditional = new Set<T>()
  readonly #attribute = new AttributeReader()
  #events = 0

  add(wanted: T): void {
    const { filter } = wanted
    const condition = this.#rarest(conditionsOf(filter))
    this.#conditionOf.set(wanted, condition)
    if (condition === null) {
      if (filter.matchesAll) this.#unconditional.add(wanted)
      else this.#byGlob.add(wanted)
      this.#globsOfType.clear()
      return
    }
    this.#used[condition.kind]++
    if (condition.kind === 'subject') this.#countPrefixes(filter, 1)
    for (const hash of condition.hashes) {
      const standing = { wanted, foundBy: 0 }
      const there = this.#byHash.get(hash)
      if (there === undefined) this.#byHash.set(hash, [standing])
      else there.push(standing)
    }
  }

  remove(wanted: T): void {
    const condition = this.#conditionOf.get(wanted)
    if (condition === undefined) return
    this.#conditionOf.delete(wanted)
    if (condition === null) {
      this.#unconditional.delete(wanted)
      this.#byGlob.delete(wanted)
      this.#globsOfType.clear()
      return
    }
    this.#used[condition.kind]--
    if (condition.kind === 'subject') this.#countPrefixes(wanted.filter, -1)
    for (const hash of condition.hashes) {
      const left = this.#byHash.get(hash)!.filter((standing) => standing.wanted !== wanted)
      if (left.length === 0) this.#byHash.delete(hash)
      else this.#byHash.set(hash, left)
    }
  }

  /** Puts what the event with these fields matches into `found`, each once, in place of what was there. */
  find(bytes: Uint8Array, fields: EventFields, found: T[]): void {
    found.length = 0
    this.#events++
    const { attribute, source, subject, type } = this.#used
    if (attribute > 0) this.#findByAttributes(bytes, fields, found)
    if (source > 0) {
      this.#take(hashOf(kinds.source, bytes, fields.sourceStart, fields.sourceEnd), bytes, fields, found)
    }
    if (subject > 0) this.#findBySubject(bytes, fields, found)
    if (type > 0) this.#take(hashOf(kinds.type, bytes, fields.typeStart, fields.typeEnd), bytes, fields, found)
    if (this.#byGlob.size > 0) {
      for (const wanted of this.#findByGlob(bytes, fields)) found.push(wanted)
    }
    for (const wanted of this.#unconditional) found.push(wanted)
  }

  #findByAttributes(bytes: Uint8Array, fields: EventFields, found: T[]): void {
    const attribute = this.#attribute
    for (let index = 0; index < fields.attributeCount; index++) {
      attribute.read(bytes, fields, index)
      const named = hashOf(kinds.attribute, bytes, attribute.nameStart, attribute.nameEnd)
      this.#take(hashOf(afterName(named), bytes, attribute.valueStart, attribute.valueEnd), bytes, fields, found)
    }
  }

  /** One pass over the subject has the hashes of all its prefixes. */
  #findBySubject(bytes: Uint8Array, fields: EventFields, found: T[]): void {
    const { subjectStart, subjectEnd } = fields
    const end = Math.min(subjectEnd, subjectStart + this.#longestPrefix)
    let hash: number = kinds.subject
    for (let at = subjectStart; at < end; at++) {
      hash = hashWith(hash, bytes[at]!)
      if (this.#prefixesOfLength.has(at + 1 - subjectStart)) this.#take(hash, bytes, fields, found)
    }
  }

  #take(hash: number, bytes: Uint8Array, fields: EventFields, found: T[]): void {
    const there = this.#byHash.get(hash)
    if (there === undefined) return
    for (const standing of there) {
      if (standing.foundBy === this.#events || !standing.wanted.filter.matches(bytes, fields)) continue
      standing.foundBy = this.#events
      found.push(standing.wanted)
    }
  }

  #findByGlob(bytes: Uint8Array, fields: EventFields): readonly T[] {
    const type = textOf(bytes, fields.typeStart, fields.typeEnd)
    const known = this.#globsOfType.get(type)
    if (known !== undefined) return known
    const found = [...this.#byGlob].filter(({ filter }) => filter.matchesType(type))
    if (this.#globsOfType.size === maxRememberedTypes) this.#globsOfType.clear()
    this.#globsOfType.set(type, found)
    return found
  }

  /** The condition whose fullest place has the fewest filters. */
  #rarest(conditions: readonly Condition[]): Condition | null {
    let best: Condition | null = null
    let fewest = Number.POSITIVE_INFINITY
    for (const condition of conditions) {
      const fullest = Math.max(...condition.hashes.map((hash) => this.#byHash.get(hash)?.length ?? 0))
      if (fullest >= fewest) continue
      fewest = fullest
      best = condition
    }
    return best
  }

  #countPrefixes({ subjects }: LiveFilter, by: 1 | -1): void {
    for (const { length } of subjects) {
      const count = (this.#prefixesOfLength.get(length) ?? 0) + by
      if (count === 0) this.#prefixesOfLength.delete(length)
      else this.#prefixesOfLength.set(length, count)
    }
    this.#longestPrefix = Math.max(0, ...this.#prefixesOfLength.keys())
  }
}

/** In the order of preference where several are as rare. */
function conditionsOf(filter: LiveFilter): Condition[] {
  const conditions: Condition[] = filter.attributes.map(({ name, value }) => {
    const hash = hashOf(afterName(hashOf(kinds.attribute, name, 0, name.length)), value, 0, value.length)
    return { kind: 'attribute', hashes: [hash] }
  })
  const add = (kind: Kind, texts: readonly Uint8Array[]) => {
    const hashes = new Set(texts.map((text) => hashOf(kinds[kind], text, 0, text.length)))
    if (hashes.size > 0) conditions.push({ kind, hashes: [...hashes] })
  }
  add('source', filter.sources)
  add('subject', filter.subjects)
  if (!filter.hasGlobs) add('type', filter.exactTypes)
  return conditions
}

/** FNV-1a. */
function hashWith(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193)
}

function hashOf(start: number, bytes: Uint8Array, from: number, to: number): number {
  let hash = start
  for (let at = from; at < to; at++) hash = hashWith(hash, bytes[at]!)
  return hash
}

/** Between a name and its value, so that `a` = `bc` is not `ab` = `c`. */
function afterName(hash: number): number {
  return hashWith(hash, 0)
}
