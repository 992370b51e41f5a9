// The filter of a subscriber in its one canonical form, and whether an event matches it.
//
// Texts are kept as bytes and compared with those of the encoded event: nothing of an event is decoded to be refused, but
// its type where a filter has globs.

import { defaultSource } from '../event/event.ts'
import { type EventFields, textOf } from '../event/record-batch.ts'
import { compileTypePatterns } from '../event/type-pattern.ts'
import { bytesType, FieldWalker } from '../lib/protobuf-walk.ts'
import type { LiveQuery } from '../pipeline/live.ts'

export interface AttributeCondition {
  readonly name: Uint8Array
  readonly value: Uint8Array
}

export class LiveFilter {
  /** Equal filters have equal keys. */
  readonly key: string
  /** Types without wildcards. */
  readonly exactTypes: readonly Uint8Array[]
  /** Whether it also has types with wildcards. */
  readonly hasGlobs: boolean
  readonly sources: readonly Uint8Array[]
  /** None is the prefix of another one. */
  readonly subjects: readonly Uint8Array[]
  readonly attributes: readonly AttributeCondition[]
  readonly #matchesType: (type: string) => boolean
  readonly #attribute = new AttributeReader()

  /** Errors: `invalid_event` that names a glob. */
  constructor(query: Pick<LiveQuery, 'types' | 'sources' | 'subjects' | 'attributes'>) {
    this.#matchesType = compileTypePatterns(query.types)
    // Every type matches `**`, and every subject begins with ''.
    const types = query.types.includes('**') ? [] : distinct(query.types)
    const subjects = query.subjects.includes('') ? [] : withoutLonger(distinct(query.subjects))
    const sources = distinct(query.sources.map((source) => source || defaultSource))
    const attributes = [...query.attributes].sort(([a], [b]) => (a < b ? -1 : 1))
    this.key = JSON.stringify([types, sources, subjects, attributes])
    this.exactTypes = types.filter((type) => !type.includes('*')).map(bytesOf)
    this.hasGlobs = this.exactTypes.length < types.length
    // An event that was sent without a source has the default one.
    this.sources = (sources.includes(defaultSource) ? [...sources, ''] : sources).map(bytesOf)
    this.subjects = subjects.map(bytesOf)
    this.attributes = attributes.map(([name, value]) => ({ name: bytesOf(name), value: bytesOf(value) }))
  }

  get matchesAll(): boolean {
    return this.matchesAllTypes && this.sources.length + this.subjects.length + this.attributes.length === 0
  }

  get matchesAllTypes(): boolean {
    return !this.hasGlobs && this.exactTypes.length === 0
  }

  matchesType(type: string): boolean {
    return this.#matchesType(type)
  }

  /** Whether the event with these fields matches. `bytes` are the ones that the fields were read from. */
  matches(bytes: Uint8Array, fields: EventFields): boolean {
    return (
      this.#hasType(bytes, fields) &&
      (this.sources.length === 0 ||
        this.sources.some((source) => isAt(source, bytes, fields.sourceStart, fields.sourceEnd))) &&
      (this.subjects.length === 0 ||
        this.subjects.some((prefix) => beginsWith(prefix, bytes, fields.subjectStart, fields.subjectEnd))) &&
      this.attributes.every((condition) => this.#hasAttribute(condition, bytes, fields))
    )
  }

  #hasType(bytes: Uint8Array, { typeStart, typeEnd }: EventFields): boolean {
    if (this.matchesAllTypes || this.exactTypes.some((type) => isAt(type, bytes, typeStart, typeEnd))) return true
    return this.hasGlobs && this.#matchesType(textOf(bytes, typeStart, typeEnd))
  }

  /** As in any protobuf decoder, the last entry of a name counts. */
  #hasAttribute({ name, value }: AttributeCondition, bytes: Uint8Array, fields: EventFields): boolean {
    const attribute = this.#attribute
    for (let index = fields.attributeCount - 1; index >= 0; index--) {
      attribute.read(bytes, fields, index)
      if (isAt(name, bytes, attribute.nameStart, attribute.nameEnd))
        return isAt(value, bytes, attribute.valueStart, attribute.valueEnd)
    }
    return false
  }
}

/** Whether the bytes from `start` to `end` are these. */
function isAt(text: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  return text.length === end - start && beginsWith(text, bytes, start, end)
}

function beginsWith(prefix: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (prefix.length > end - start) return false
  for (let index = 0; index < prefix.length; index++) if (bytes[start + index] !== prefix[index]) return false
  return true
}

/** Start and end of the name and of the value of one attribute, as offsets into the bytes of the event. */
export class AttributeReader {
  nameStart = 0
  nameEnd = 0
  valueStart = 0
  valueEnd = 0
  readonly #walker = new FieldWalker()

  read(bytes: Uint8Array, { attributes }: EventFields, index: number): void {
    const walker = this.#walker.reset(bytes, attributes[index * 2]!, attributes[index * 2 + 1]!)
    this.nameStart = this.nameEnd = this.valueStart = this.valueEnd = 0
    while (walker.next()) {
      if (walker.wireType !== bytesType) continue
      if (walker.number === 1) {
        this.nameStart = walker.valueStart
        this.nameEnd = walker.valueEnd
      } else if (walker.number === 2) {
        this.valueStart = walker.valueStart
        this.valueEnd = walker.valueEnd
      }
    }
  }
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort()
}

/** @param sorted so that a prefix comes before what begins with it. */
function withoutLonger(sorted: readonly string[]): string[] {
  const kept: string[] = []
  for (const text of sorted) if (kept.length === 0 || !text.startsWith(kept.at(-1)!)) kept.push(text)
  return kept
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text)
}
