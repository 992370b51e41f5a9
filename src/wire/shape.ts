// The language of the tables in this folder. A table names the fields of a domain type, each with its kind; from it follow
// the message, the way back, and the JSON form.
//
// A field is called as in the domain, without the unit of a time: `dueAtMicros` is `dueAt` in the message and `due_at` in
// JSON.

import { create, type DescMessage, type Message } from '@bufbuild/protobuf'
import { MillraceError } from '../errors.ts'
import { formatRfc3339 } from '../lib/rfc3339.ts'
import { type Micros, microsOf, type Timestamp, timestampOf } from '../lib/timestamp.ts'

/** How one value is written. */
export interface Kind<Value> {
  /** Undefined leaves the field absent. @param field its name in JSON, for errors. */
  readonly toWire: (value: Value, field: string) => unknown
  /** @param wire undefined when the field is absent. Throws `invalid_event` for what the field cannot be. */
  readonly ofWire: (wire: never, field: string) => Value
  readonly toJson: (value: Value) => unknown
  /** Its name in the message, where that is not the domain's. */
  readonly wireName?: string
}

/** The kind of every field of a domain type. */
export type Table<Domain> = { readonly [Name in keyof Domain]-?: Kind<Domain[Name]> }

/** A domain type and its message. */
export interface Shape<Domain> {
  readonly schema: DescMessage
  /** The names of the fields of the message that it fills. */
  readonly fields: readonly string[]
  toMessage(value: Domain): Message
  ofMessage(message: Message): Domain
  /** With the members in the order of the table. */
  toJson(value: Domain): Record<string, unknown>
}

export function shape<Domain extends object>(schema: DescMessage, table: Table<Domain>): Shape<Domain> {
  const rows = Object.entries(table as unknown as Record<string, Kind<unknown>>).map(([name, kind]) => {
    const wireName = kind.wireName ?? name.replace(/(?:Micros|Ms)$/, '')
    const jsonName = wireName.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    return { name, kind, wireName, jsonName }
  })
  const valueIn = (given: object, name: string) => (given as Record<string, unknown>)[name] as never
  return {
    schema,
    fields: rows.map(({ wireName }) => wireName),
    toMessage: (value) => {
      const values = rows.map(({ name, kind, wireName, jsonName }) => [
        wireName,
        kind.toWire(valueIn(value, name), jsonName),
      ])
      return create(schema, Object.fromEntries(values))
    },
    ofMessage: (message) => {
      const values = rows.map(({ name, kind, wireName, jsonName }) => [
        name,
        kind.ofWire(valueIn(message, wireName), jsonName),
      ])
      return Object.fromEntries(values)
    },
    toJson: (value) =>
      Object.fromEntries(rows.map(({ name, kind, jsonName }) => [jsonName, kind.toJson(valueIn(value, name))])),
  }
}

/** The shape of a domain type that is put together in another way than its message. */
export function by<Domain, Parts>(
  parts: Shape<Parts>,
  toParts: (domain: Domain) => Parts,
  ofParts: (parts: Parts) => Domain,
): Shape<Domain> {
  return {
    ...parts,
    toMessage: (domain) => parts.toMessage(toParts(domain)),
    ofMessage: (message) => ofParts(parts.ofMessage(message)),
    toJson: (domain) => parts.toJson(toParts(domain)),
  }
}

const same = <Value>(value: Value): Value => value

export const text: Kind<string> = { toWire: same, ofWire: (wire: string | undefined) => wire ?? '', toJson: same }
/** A word of a set that the other side keeps to. */
export const word = <Word extends string>() => text as unknown as Kind<Word>
/** At most 32 bits, or with a fraction. */
export const number: Kind<number> = { toWire: same, ofWire: (wire: number | undefined) => wire ?? 0, toJson: same }
/** 64 bits. */
export const count: Kind<number> = {
  toWire: (value) => BigInt(value),
  ofWire: (wire: bigint | undefined) => Number(wire ?? 0),
  toJson: same,
}
export const flag: Kind<boolean> = { toWire: same, ofWire: (wire: boolean | undefined) => wire ?? false, toJson: same }
export const bytes: Kind<Uint8Array> = {
  toWire: same,
  ofWire: (wire: Uint8Array | undefined) => wire ?? new Uint8Array(0),
  toJson: (value) => Buffer.from(value).toString('base64'),
}
/** Microseconds since 1970, also those that no number holds. */
export const anyTime: Kind<Micros> = {
  toWire: timestampOf,
  ofWire: (wire: Timestamp | undefined) => (wire === undefined ? 0 : microsOf(wire)),
  toJson: formatRfc3339,
}
/** Microseconds since 1970. */
export const time: Kind<number> = {
  ...anyTime,
  ofWire: (wire: Timestamp | undefined) => (wire === undefined ? 0 : Number(microsOf(wire))),
}
/** Milliseconds since 1970. */
export const timeInMs: Kind<number> = {
  toWire: (ms) => timestampOf(ms * 1000),
  ofWire: (wire: Timestamp) => Number(microsOf(wire)) / 1000,
  toJson: (ms) => formatRfc3339(ms * 1000),
}
export const textMap: Kind<ReadonlyMap<string, string>> = {
  toWire: (map) => Object.fromEntries(map),
  ofWire: (wire: Record<string, string>) => new Map(Object.entries(wire)),
  toJson: (map) => Object.fromEntries(map),
}

export function list<Value>(kind: Kind<Value>): Kind<readonly Value[]> {
  return {
    toWire: (values, field) => values.map((value) => kind.toWire(value, field)),
    ofWire: (wire: never[] | undefined, field) => (wire ?? []).map((value) => kind.ofWire(value, field)),
    toJson: (values) => values.map(kind.toJson),
  }
}

/** A message in a message. An absent one is the other side's fault. */
export function object<Domain>(of: Shape<Domain>): Kind<Domain> {
  return {
    toWire: of.toMessage,
    ofWire: (wire: Message | undefined, field) => {
      if (wire === undefined) throw new MillraceError('internal', `the answer has no ${field}`, { field })
      return of.ofMessage(wire)
    },
    toJson: of.toJson,
  }
}

/** One of the words; any other is `otherwise`. */
export function oneOf<Word extends string>(words: readonly Word[], otherwise: NoInfer<Word>): Kind<Word> {
  const ofWire = (wire: string | undefined) => words.find((known) => known === wire) ?? otherwise
  return { toWire: same, ofWire, toJson: same }
}

interface EnumKind<Word> extends Kind<Word> {
  readonly toWire: (value: Word) => number
  readonly ofWire: (wire: number, field: string) => Word
}

/**
 * A protobuf enum, whose numbers the domain has words for.
 * @param unspecified the word for 0, which is refused without one; @param unknown that for any other number, likewise.
 */
export function enumOf<Word extends string>(
  numbers: Readonly<Record<Word, number>>,
  { unspecified, unknown }: { readonly unspecified?: NoInfer<Word>; readonly unknown?: NoInfer<Word> } = {},
): EnumKind<Word> {
  const words = Object.keys(numbers) as Word[]
  const known = words.map((each) => `${each.toUpperCase().replace('-', '_')} (${numbers[each]})`).join(', ')
  return {
    toWire: (value) => numbers[value],
    ofWire: (wire: number, field) => {
      const found = words.find((each) => numbers[each] === wire) ?? (wire === 0 ? unspecified : undefined) ?? unknown
      if (found !== undefined) return found
      const problem = wire === 0 ? `${field} is missing: give one of` : `${field} ${wire} is unknown: it must be one of`
      throw new MillraceError('invalid_event', `${problem} ${known}`, { field })
    },
    toJson: same,
  }
}

/** Null is absent. */
export function orNull<Value>(kind: Kind<Value>): Kind<Value | null> {
  return {
    ...kind,
    toWire: (value, field) => (value === null ? undefined : kind.toWire(value, field)),
    ofWire: (wire: never | undefined, field) => (wire === undefined ? null : kind.ofWire(wire, field)),
    toJson: (value) => (value === null ? null : kind.toJson(value)),
  }
}

/** Null is '', 0, or an empty list: of a field that cannot be absent. */
export function orEmpty<Value extends string | number | readonly unknown[]>(kind: Kind<Value>): Kind<Value | null> {
  return {
    ...orNull(kind),
    ofWire: (wire, field) => {
      const value = kind.ofWire(wire, field)
      return value === '' || value === 0 || (Array.isArray(value) && value.length === 0) ? null : value
    },
  }
}

/** Null as undefined, for what a caller may leave out. */
export function optional<Value>(kind: Kind<Value | null>): Kind<Value | undefined> {
  return {
    ...kind,
    toWire: (value, field) => kind.toWire(value ?? null, field),
    ofWire: (wire, field) => kind.ofWire(wire, field) ?? undefined,
    toJson: (value) => kind.toJson(value ?? null),
  }
}

/** As `orEmpty`, of a request: an empty value, which the other side would take for null, is refused. */
export function given<Value extends string | number | readonly unknown[]>(kind: Kind<Value>): Kind<Value | null> {
  const sent = orEmpty(kind)
  return {
    ...sent,
    toWire: (value, field) => {
      if (value === 0) throw emptyValue(field, '0')
      if (value !== null && typeof value !== 'number' && value.length === 0) throw emptyValue(field, 'empty')
      return sent.toWire(value, field)
    },
  }
}

/** '' or 0 of a request that comes in is the default. A 0 does not go out: who gives a number means it. */
export function orDefault<Value extends string | number>(kind: Kind<Value>, otherwise: Value): Kind<Value> {
  return {
    ...kind,
    toWire: (value, field) => {
      if (value === 0) throw emptyValue(field, '0')
      return kind.toWire(value, field)
    },
    ofWire: (wire, field) => kind.ofWire(wire, field) || otherwise,
  }
}

function emptyValue(field: string, what: '0' | 'empty'): MillraceError {
  return new MillraceError('invalid_event', `${field} is ${what}: leave it out, or give a value`, { field })
}

/** A field with a name of its own in the message. */
export function named<Value>(wireName: string, kind: Kind<Value>): Kind<Value> {
  return { ...kind, wireName }
}
