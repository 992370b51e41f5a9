// The body of POST /v1/dead-letters/redrive: a filter, and how to send what it finds. The data of an edited event is sliced
// from the body: never parsed, so no digit is lost.

import { MillraceError } from '../../errors.ts'
import { isJsonContentType } from '../../event/event.ts'
import { JsonText, skipJsonSpace } from '../../lib/json/json-text.ts'
import { type RedriveRequest, rateLimits } from '../../pipeline/administration.ts'
import { payloadOf, readBase64 } from './event-reader.ts'
import { isJsonString, JsonMembers, jsonText } from './json-members.ts'
import { timeParameter } from './query.ts'

const keys = [
  'dead_letter_ids',
  'topic',
  'group',
  'type',
  'code',
  'since',
  'until',
  'redriven',
  'rate',
  'dry_run',
  'data',
  'data_base64',
  'data_content_type',
  'cursor',
] as const
type Key = (typeof keys)[number]

/** Throws `invalid_event` naming the member that is wrong. */
export function readRedriveBody(body: Uint8Array): RedriveRequest {
  const values = membersOf(body)
  const text = (key: Key): string | undefined => {
    const value = values.get(key)
    if (value === undefined) return undefined
    if (!isJsonString(value.bytes, value.start)) throw wrong(key, 'must be a string')
    return jsonText(value.bytes, value.start, value.end)
  }
  const parsed = (key: Key): unknown => {
    const value = values.get(key)
    return value === undefined
      ? undefined
      : JSON.parse(Buffer.from(value.bytes).toString('utf8', value.start, value.end))
  }
  const flag = (key: Key): boolean | undefined => {
    const value = parsed(key)
    if (value !== undefined && typeof value !== 'boolean') throw wrong(key, 'must be true or false')
    return value
  }
  const time = (key: Key): number | undefined => {
    const value = text(key)
    return value === undefined ? undefined : timeParameter(key, value)
  }
  const rate = values.has('rate') ? parsed('rate') : rateLimits.default
  if (typeof rate !== 'number') throw wrong('rate', 'must be a number of events per second')
  return {
    filter: {
      deadLetterIds: idsOf(parsed('dead_letter_ids')),
      topic: text('topic'),
      group: text('group'),
      type: text('type'),
      code: text('code'),
      sinceMicros: time('since'),
      untilMicros: time('until'),
      isRedriven: flag('redriven'),
    },
    rate,
    isDryRun: flag('dry_run') ?? false,
    edit: editOf(values, nonEmpty('data_content_type', text('data_content_type'))),
    cursor: text('cursor'),
  }
}

interface Member {
  readonly bytes: Uint8Array
  readonly start: number
  readonly end: number
  /** Only of `data_base64`; null when it is none. */
  readonly decoded: Buffer | null
}

function membersOf(body: Uint8Array): ReadonlyMap<Key, Member> {
  const text = new JsonText().load(body)
  const start = skipJsonSpace(body, 0, body.length)
  if (body[start] !== 0x7b) throw wrong('body', 'must be a JSON object; {} means all dead letters')
  const found = new Map<Key, Member>()
  const members = new JsonMembers(text).reset(start, body.length)
  while (members.next()) {
    const { name, fault, bytes, valueStart, valueEnd } = members
    const key = keys.find((candidate) => candidate === name)
    if (key === undefined) {
      throw wrong(name.slice(0, 80), `is unknown; a redrive has ${keys.join(', ')}`)
    }
    if (found.has(key)) throw wrong(key, 'is given twice')
    if (fault !== '') throw wrong(key, fault)
    const decoded = key === 'data_base64' ? readBase64(members) : null
    found.set(key, { bytes, start: valueStart, end: valueEnd, decoded })
  }
  if (members.brokenAt >= 0 || skipJsonSpace(body, members.end, body.length) < body.length) {
    throw wrong('body', 'is not valid JSON')
  }
  return found
}

function editOf(values: ReadonlyMap<Key, Member>, contentType: string | undefined): RedriveRequest['edit'] {
  const data = values.get('data')
  const base64 = values.get('data_base64')
  if (data !== undefined && base64 !== undefined)
    throw wrong('data', 'and data_base64 are both given; give one of them')
  if (data !== undefined) {
    return { data: payloadOf(data.bytes, data.start, data.end, isJsonContentType(contentType ?? '')), contentType }
  }
  if (base64 === undefined) {
    if (contentType !== undefined) throw wrong('data_content_type', 'is given without data')
    return undefined
  }
  if (base64.decoded === null) throw wrong('data_base64', 'must be a string of base64 with its padding')
  return { data: base64.decoded, contentType }
}

function nonEmpty(field: string, text: string | undefined): string | undefined {
  if (text === '') throw wrong(field, 'is empty: leave it out, or say which')
  return text
}

function idsOf(value: unknown): readonly string[] | undefined {
  if (value === undefined) return undefined
  if (Array.isArray(value) && value.every((id) => typeof id === 'string')) return value
  throw wrong('dead_letter_ids', 'must be an array of strings')
}

function wrong(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', `${field} ${problem}`, { field })
}
