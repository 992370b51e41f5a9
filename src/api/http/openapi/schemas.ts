// The JSON Schemas (2020-12) of what the API takes and answers, by the names under which the OpenAPI document has them.

import { scopes } from '../../../pipeline/keys.ts'

export type Schema = Readonly<Record<string, unknown>>

export const text: Schema = { type: 'string' }
export const flag: Schema = { type: 'boolean' }
export const count: Schema = { type: 'integer', minimum: 0 }
export const time: Schema = { type: 'string', format: 'date-time' }
export const anyJson: Schema = {}
const number: Schema = { type: 'number' }
const seconds: Schema = { type: 'number', minimum: 0 }

export const ref = (name: keyof typeof schemas): Schema => named(name)
export const listOf = (items: Schema): Schema => ({ type: 'array', items })
export const orNull = (schema: Schema): Schema =>
  typeof schema.type === 'string' ? { ...schema, type: [schema.type, 'null'] } : { anyOf: [schema, { type: 'null' }] }
export const oneOf = (...values: readonly string[]): Schema => ({ type: 'string', enum: values })

/** All members are always there, but those of `optional`. */
export function object(properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name))
  return { type: 'object', properties, ...(required.length === 0 ? {} : { required }) }
}

/** A page of a listing. */
export function pageOf(name: string, items: Schema, more: Readonly<Record<string, Schema>> = {}): Schema {
  return object({ [name]: listOf(items), next_cursor: orNull(text), ...more })
}

/** As `ref`, inside of `schemas`, whose names cannot have a type that is made of them. */
function named(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` }
}

const names: Schema = { type: 'object', additionalProperties: text }
const lane = oneOf('low', 'normal', 'high')
const lanes = object({ high: count, normal: count, low: count })
const scope = oneOf(...scopes)
const data = {
  data: { description: 'Any JSON; byte for byte.' },
  data_base64: { ...text, contentEncoding: 'base64', description: 'Data that is no JSON.' },
}
const groupMembers = {
  name: text,
  types: { ...listOf(text), description: 'Empty: all types.' },
  ...{ waiting: orNull(count), ready: orNull(count), scheduled: orNull(count), held: orNull(count) },
  ...{ in_flight: orNull(count), skipped: orNull(count), oldest_waiting_seconds: orNull(seconds) },
  state: named('GroupState'),
}
const ofGroup = { topic: text, group: text }
const deadLetterMembers = {
  ...{ dead_letter_id: text, event_id: orNull(text), topic: text, group: text, type: text, source: text },
  ...{ code: text, message: text, attempts: count, first_failed_at: time, dead_at: time },
  history: {
    ...listOf(named('FailedAttempt')),
    description: 'Every attempt since the event was accepted or last redriven.',
  },
  ...{ redriven_at: orNull(time), redrives: count },
}
const keyMembers = {
  ...{ key_id: text, name: text, scopes: listOf(scope), topics: orNull(listOf(text)), types: orNull(listOf(text)) },
  ...{ rate_per_second: orNull(count), created_at: time, expires_at: orNull(time), revoked_at: orNull(time) },
  last_used_at: orNull(time),
}
const fileMembers = { file_id: text, size: count, sha256: text, analysis: { description: 'Null while there is none.' } }
const series = (of: Schema): Schema => listOf(orNull(of))

export const schemas = {
  Event: object(
    {
      type: { ...text, minLength: 1, maxLength: 255 },
      ...{ id: text, source: text, subject: text, time, ...data, data_content_type: text },
      ...{ priority: lane, key: text, attributes: names },
    },
    'id source subject time data data_base64 data_content_type priority key attributes'.split(' '),
  ),
  StoredEvent: object(
    {
      ...{ event_id: text, id: text, source: text, type: text, subject: text, time, received_at: time, topic: text },
      ...{ priority: lane, key: text, data_content_type: text, attributes: names },
      ...{ ...data, data_omitted: { ...text, description: 'Why the data is left out.' } },
    },
    ['data', 'data_base64', 'data_omitted'],
  ),
  Rejection: object({ index: count, id: text, code: text, message: text, retry_after: seconds }, ['retry_after']),
  Verdict: object(
    {
      ...{ accepted: count, dropped: count },
      rejected: { ...count, description: 'NDJSON only: how many there are; at most 1,000 are listed.' },
      rejections: listOf(named('Rejection')),
      durability: oneOf('memory', 'broker', 'disk', 'replicated'),
    },
    ['rejected'],
  ),
  Problem: object(
    {
      ...{ type: text, title: text, status: count, detail: text },
      code: { ...text, description: 'One of the codes of docs/errors.md.' },
      field: { ...text, description: 'What is wrong.' },
      instance: { ...text, description: 'Ends with the id of the request.' },
      ...{ accepted: count, dropped: count, rejected: count },
      rejections: listOf(named('Rejection')),
    },
    ['field', 'instance', 'accepted', 'dropped', 'rejected', 'rejections'],
  ),
  EventPage: pageOf('events', named('StoredEvent'), { live_cursor: orNull(text) }),
  Journey: object({
    event: named('StoredEvent'),
    journey: object({ state: oneOf('landed', 'dead', 'waiting'), steps: listOf(named('JourneyStep')) }),
  }),
  JourneyStep: object(
    {
      step: oneOf(...'accepted landed failed dead redriven handed_out begun ended settled not_kept'.split(' ')),
      ...{ at: orNull(time), group: text, attempt: count, code: text, message: text, position: text },
      dead_letter_id: text,
    },
    ['group', 'attempt', 'code', 'message', 'position', 'dead_letter_id'],
  ),
  Gap: object({
    ...{ dropped: orNull(count), from: text, to: text, reason: oneOf('slow', 'trimmed', 'lost') },
  }),
  FailedAttempt: object({ attempt: count, at: time, code: text, message: text, position: text }),
  DeadLetter: object(deadLetterMembers),
  DeadLetterPage: pageOf('dead_letters', named('DeadLetter')),
  DeadLetterDetail: object({
    ...deadLetterMembers,
    damaged_base64: orNull({ ...text, contentEncoding: 'base64' }),
    event: orNull(named('StoredEvent')),
  }),
  DeadLetterCause: object({
    ...{ ...ofGroup, type: text, code: text, message: text, dead_letters: count, first_dead_at: time },
    last_dead_at: time,
  }),
  DeadLetterCauses: object({ causes: listOf(named('DeadLetterCause')) }),
  RedriveAnswer: object({
    ...{ matched: count, redriven: count, skipped: count, failed_again: count },
    stopped: { ...orNull(text), description: 'Why it ended before the last letter.' },
    next_cursor: orNull(text),
  }),
  GroupState: object({
    is: oneOf('running', 'paused', 'outage', 'no_worker', 'limited'),
    by: { enum: ['person', 'system', null] },
    ...{ reason: orNull(text), since: orNull(time) },
  }),
  GroupStatus: object(groupMembers),
  Group: object({
    ...{ topic: text, ...groupMembers, rate: orNull(count) },
    options: orNull(
      object({
        ...{ ordered: flag, timeout_ms: count, max_attempts: count, initial_delay_ms: count, max_delay_ms: count },
        ...{ on_exhausted: text, group_concurrency: orNull(count), rate_per_second: orNull(count) },
        limit_per_key: orNull(count),
      }),
    ),
  }),
  HeldKey: object({
    ...{ key: text, partition: count, priority: lane },
    events: { ...count, description: 'That wait, the first one included.' },
    attempts: { ...count, description: 'That the first one has had.' },
    due_at: { ...orNull(time), description: 'Null: when a person lets it go.' },
  }),
  HeldKeys: object({ keys: listOf(named('HeldKey')), has_more: flag }),
  Worker: object({ ...ofGroup, peer: text, since: time, in_flight: count, max_in_flight: count }),
  Subscriber: object({
    ...{ subscriber_id: text, topic: text, since: time, lag_events: orNull(count) },
    is_live: { ...flag, description: 'False while it reads what was before it began.' },
    ...{ buffered_events: count, buffered_bytes: count, sent_events: count, dropped_events: orNull(count) },
  }),
  Agent: object({ agent_id: text, last_seen: time, online: flag, metadata: { type: 'object' } }),
  FileDescription: object({ ...fileMembers, filename: text, content_type: text, received_at: time }),
  StoredFile: object(fileMembers),
  KeyDescription: object(keyMembers),
  CreatedKey: object({ key: { ...text, description: 'The key; it is told this once.' }, ...keyMembers }),
  Found: object({
    kind: oneOf('event', 'dead_letter', 'file', 'request', 'agent', 'group', 'subscriber', 'key'),
    href: text,
  }),
  Cause: object({ component: text, reason: text, message: text }),
  Readiness: object(
    {
      ...{ ready: flag, state: oneOf('ready', 'degraded', 'unready') },
      causes: listOf(named('Cause')),
      components: listOf(object({ name: text, state: text })),
    },
    ['components'],
  ),
  Status: object({
    ...{ version: text, uptime_seconds: seconds, durability: text },
    log: object({ driver: text, epoch: orNull(count) }),
    store: object({ driver: text, up: flag }),
    state: oneOf('ready', 'degraded', 'unready'),
    causes: listOf(named('Cause')),
    topics: listOf(named('TopicStatus')),
    ledger: listOf(named('LedgerRow')),
    processes: listOf(named('ServerProcess')),
    ...{ subscribers: orNull(count), workers: orNull(count) },
  }),
  TopicStatus: object({ name: text, partitions: count, groups: listOf(named('GroupStatus')) }),
  LedgerRow: object({
    ...{ ...ofGroup, accepted: orNull(count), reopened: orNull(count), waiting: orNull(count) },
    ...{ landed: orNull(count), dead: orNull(count), lost: orNull(count), balanced: orNull(flag) },
  }),
  ServerProcess: object({ id: text, roles: listOf(text), host: text, version: text, started_at: time }),
  Observations: object({
    at_seconds: seconds,
    published: orNull(
      object({ received: count, accepted: count, rejected: count, dropped: count, accepted_by_lane: lanes }),
    ),
    landing: orNull({ type: 'object' }),
    log: object({
      ...{ used_bytes: orNull(count), limit_bytes: orNull(count), problem: orNull(text), persistence: text },
    }),
    store: orNull(
      object({
        events_bytes: orNull(count),
        dead_letters: orNull(named('DeadLetterTotals')),
        ...{ recent: orNull({ type: 'object' }), statements: orNull({ type: 'object' }) },
      }),
    ),
  }),
  DeadLetterTotals: object({
    ...{ open: count, redriven: count },
    more: { ...flag, description: 'Whether there are more than were counted.' },
  }),
  Observed: object({ status: named('Status'), observations: orNull(named('Observations')) }),
  Session: object({
    needs_key: flag,
    key: orNull(
      object({ name: text, scopes: listOf(scope), topics: orNull(listOf(text)), types: orNull(listOf(text)) }),
    ),
  }),
  History: object({
    seconds: { ...listOf(number), description: 'Since 1970; each of the other lists has one value for each.' },
    ...{ accepted: series(count), rejected: series(count), landed: series(count), dead: series(count) },
    ...{ waiting: series(count), landing_p50_seconds: series(seconds), landing_p99_seconds: series(seconds) },
  }),
} satisfies Readonly<Record<string, Schema>>
