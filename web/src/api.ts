// The client of the HTTP API: one function per route that the console uses, and the types of what it answers.
//
// Names as on the wire. A number, a time or a list that the server does not know is null, never 0.

/** A refused or failed call, as a problem (RFC 9457) says it. */
export class ApiProblem extends Error {
  /** 0: there was no answer. */
  readonly status: number
  readonly code: string
  readonly field: string | null

  constructor(status: number, code: string, message: string, field: string | null = null) {
    super(message)
    this.status = status
    this.code = code
    this.field = field
  }
}

export type Lane = 'high' | 'normal' | 'low'
export type Scope = 'publish' | 'subscribe' | 'work' | 'read' | 'operate' | 'admin'

export interface Session {
  readonly needs_key: boolean
  readonly key: {
    readonly name: string
    readonly scopes: readonly Scope[]
    readonly topics: readonly string[] | null
    readonly types: readonly string[] | null
  } | null
}

export interface Cause {
  readonly component: string
  readonly reason: string
  readonly message: string
}

export interface Readiness {
  readonly state: 'ready' | 'degraded' | 'unready'
  readonly causes: readonly Cause[]
}

export interface GroupState {
  readonly is: 'running' | 'paused' | 'outage' | 'no_worker' | 'limited'
  readonly by: 'person' | 'system' | null
  readonly reason: string | null
  readonly since: string | null
}

export interface GroupStatus {
  readonly name: string
  readonly types: readonly string[]
  readonly waiting: number | null
  readonly ready: number | null
  readonly scheduled: number | null
  readonly held: number | null
  readonly in_flight: number | null
  readonly skipped: number | null
  readonly oldest_waiting_seconds: number | null
  readonly state: GroupState
}

export interface TopicStatus {
  readonly name: string
  readonly partitions: number
  readonly groups: readonly GroupStatus[]
}

export interface LedgerRow {
  readonly topic: string
  readonly group: string
  readonly accepted: number | null
  readonly reopened: number | null
  readonly waiting: number | null
  readonly landed: number | null
  readonly dead: number | null
  readonly lost: number | null
  readonly balanced: boolean | null
}

export interface ServerProcess {
  readonly id: string
  readonly roles: readonly string[]
  readonly host: string
  readonly version: string
  readonly started_at: string
}

export interface Status {
  readonly version: string
  readonly uptime_seconds: number
  readonly durability: string
  readonly log: { readonly driver: string; readonly epoch: number | null }
  readonly store: { readonly driver: string; readonly up: boolean }
  readonly state: Readiness['state']
  readonly causes: readonly Cause[]
  readonly topics: readonly TopicStatus[]
  readonly processes?: readonly ServerProcess[]
  readonly ledger: readonly LedgerRow[]
  readonly subscribers: number | null
  readonly workers: number | null
}

export interface DeadLetterTotals {
  readonly open: number
  readonly redriven: number
  /** Whether there are more than were counted. */
  readonly more: boolean
}

/** Totals since the start of the answering process. */
export interface Observations {
  readonly at_seconds: number
  readonly published: {
    readonly received: number
    readonly accepted: number
    readonly rejected: number
    readonly dropped: number
    readonly accepted_by_lane: Readonly<Record<Lane, number>>
  } | null
  readonly log: {
    readonly used_bytes: number | null
    readonly limit_bytes: number | null
    readonly problem: string | null
    readonly persistence: string
  }
  readonly store: {
    readonly events_bytes: number | null
    readonly dead_letters: DeadLetterTotals | null
  } | null
}

export interface Observed {
  readonly status: Status
  /** Null where the answer had none. */
  readonly observations: Observations | null
}

type Values = readonly (number | null)[]

/** Each array has one value for each of the seconds, which are seconds since 1970. */
export interface History {
  readonly seconds: readonly number[]
  readonly accepted: Values
  readonly rejected: Values
  readonly landed: Values
  readonly dead: Values
  /** Known for some of the seconds. */
  readonly waiting: Values
  readonly landing_p50_seconds: Values
  readonly landing_p99_seconds: Values
}

export interface StoredEvent {
  readonly event_id: string
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject: string
  readonly time: string
  readonly received_at: string
  readonly topic: string
  readonly priority: Lane
  readonly key: string
  readonly data_content_type: string
  readonly attributes: Readonly<Record<string, string>>
  /** Its numbers are JSON.rawJSON objects, which keep every digit. */
  readonly data?: unknown
  readonly data_base64?: string
  readonly data_omitted?: string
}

export interface EventPage {
  readonly events: readonly StoredEvent[]
  readonly next_cursor: string | null
  readonly live_cursor: string | null
}

export interface JourneyStep {
  readonly step:
    | ('accepted' | 'landed' | 'failed' | 'dead' | 'redriven')
    | ('handed_out' | 'begun' | 'ended' | 'settled' | 'not_kept')
  readonly at: string | null
  readonly group?: string
  readonly attempt?: number
  readonly code?: string
  readonly message?: string
  readonly position?: string
  readonly dead_letter_id?: string
}

export interface Journey {
  readonly event: StoredEvent
  readonly journey: { readonly state: 'landed' | 'dead' | 'waiting'; readonly steps: readonly JourneyStep[] }
}

export interface FailedAttempt {
  readonly attempt: number
  readonly at: string
  readonly code: string
  readonly message: string
  readonly position: string
}

export interface DeadLetter {
  readonly dead_letter_id: string
  readonly event_id: string | null
  readonly topic: string
  readonly group: string
  readonly type: string
  readonly source: string
  readonly code: string
  readonly message: string
  readonly attempts: number
  readonly dead_at: string
  /** Every attempt since the event was accepted or last redriven. */
  readonly history: readonly FailedAttempt[]
  readonly redriven_at: string | null
  readonly redrives: number
}

/** With its event; the bytes of a damaged one, whose event is null. */
export interface DeadLetterDetail extends DeadLetter {
  readonly event: StoredEvent | null
  readonly damaged_base64: string | null
}

export interface DeadLetterPage {
  readonly dead_letters: readonly DeadLetter[]
  readonly next_cursor: string | null
}

export interface DeadLetterCause {
  readonly topic: string
  readonly group: string
  readonly type: string
  readonly code: string
  /** Up to the first quotation mark; the rest differs from event to event. */
  readonly message: string
  readonly dead_letters: number
  readonly first_dead_at: string
  readonly last_dead_at: string
}

export interface RedriveAnswer {
  readonly matched: number
  readonly redriven: number
  readonly skipped: number
  readonly failed_again: number
  /** Why it ended before the last letter; null when it did not. */
  readonly stopped: string | null
  /** For the next call; null at the end. */
  readonly next_cursor: string | null
}

export interface Found {
  readonly kind: string
  readonly href: string
}

export interface PublishVerdict {
  readonly accepted: number
  readonly dropped: number
  readonly rejections: readonly { readonly id: string; readonly code: string; readonly message: string }[]
  readonly durability: string
}

/** A group with what a person has told it. */
export interface ListedGroup extends GroupStatus {
  readonly topic: string
  /** Events per second that it was resumed with; null: full speed. */
  readonly rate: number | null
  /** Of its handler or its workers; null where the answering process has neither. */
  readonly options: object | null
}

/** A key whose events wait for the first of them. */
export interface HeldKey {
  readonly key: string
  readonly partition: number
  readonly priority: Lane
  /** That wait, the first one included. */
  readonly events: number
  /** That the first one has had. */
  readonly attempts: number
  /** Null: when a person lets it go. */
  readonly due_at: string | null
}

export interface HeldKeys {
  readonly keys: readonly HeldKey[]
  readonly has_more: boolean
}

export type ReleaseAction = 'retry' | 'release' | 'skip'

/** Of another process. */
export interface Worker {
  readonly topic: string
  readonly group: string
  readonly peer: string
  readonly since: string
  readonly in_flight: number
  readonly max_in_flight: number
}

export interface Agent {
  readonly agent_id: string
  readonly last_seen: string
  readonly online: boolean
}

/** How far a request has come, and its reply. */
export interface RequestAnswer {
  readonly stage: 'accepted' | 'started' | 'replied'
  /** Null before the reply. */
  readonly attempts: number | null
  /** Of the reply; '' when it has none. */
  readonly content_type: string
  /** Of the reply, as it came. */
  readonly text: string
}

/** A file that is stored; its analysis is null until a worker has made it. */
export interface StoredFile {
  readonly file_id: string
  readonly size: number
  readonly sha256: string
  readonly analysis: unknown
}

export interface FileDescription extends StoredFile {
  readonly filename: string
  readonly content_type: string
  readonly received_at: string
}

export interface Subscriber {
  readonly subscriber_id: string
  readonly topic: string
  readonly since: string
  /** False while it reads what was before it began. */
  readonly is_live: boolean
  readonly lag_events: number | null
  readonly buffered_events: number
  readonly buffered_bytes: number
  readonly sent_events: number
  readonly dropped_events: number | null
}

export interface KeyDescription {
  readonly key_id: string
  readonly name: string
  readonly scopes: readonly Scope[]
  /** Patterns; null: all. */
  readonly topics: readonly string[] | null
  readonly types: readonly string[] | null
  readonly rate_per_second: number | null
  readonly created_at: string
  readonly expires_at: string | null
  readonly revoked_at: string | null
  /** To the minute; null: never. */
  readonly last_used_at: string | null
}

export interface CreatedKey extends KeyDescription {
  /** Told this once. */
  readonly key: string
}

/** Without a limit where it is null. */
export interface KeyRequest extends Pick<KeyDescription, 'name' | 'scopes' | 'topics' | 'types' | 'rate_per_second'> {
  /** Seconds. */
  readonly expires_in: number | null
}

type Paged<Name extends string, Element> = Readonly<Record<Name, readonly Element[]>> & {
  readonly next_cursor: string | null
}

type Query = Readonly<Record<string, string | number | undefined>>

/** Relative to the page, so that it works under any path. */
export function addressOf(path: string, query: Query = {}): string {
  const url = new URL(path.replace(/^\//, ''), document.baseURI)
  url.hash = ''
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') url.searchParams.set(name, String(value))
  }
  return url.href
}

interface Call {
  readonly query?: Query
  /** Sent as JSON. */
  readonly body?: unknown
  /** Sent as it is; JSON unless the headers say otherwise. */
  readonly text?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** Resolves with the text of the answer. Errors: ApiProblem. */
async function call(method: string, path: string, given?: Call): Promise<string> {
  return (await exchange(method, path, given)).text
}

async function exchange(
  method: string,
  path: string,
  { query, body, text, headers = {}, signal }: Call = {},
): Promise<Answer> {
  const content = text ?? (body === undefined ? undefined : JSON.stringify(body))
  let answer: Response
  try {
    answer = await fetch(addressOf(path, query), {
      method,
      headers: { ...(content === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(content === undefined ? {} : { body: content }),
      ...(signal === undefined ? {} : { signal }),
    })
  } catch (failure) {
    if (signal?.aborted && (failure as Error).name !== 'TimeoutError') throw failure
    throw new ApiProblem(0, 'unavailable', 'The server does not answer.')
  }
  const answered = await answer.text()
  if (!answer.ok) throw problemOf(answer.status, answered)
  return { status: answer.status, headers: answer.headers, text: answered }
}

async function requestAnswer(answered: Promise<Answer>): Promise<RequestAnswer> {
  const { status, headers, text } = await answered
  if (status === 202) return { stage: JSON.parse(text).stage, attempts: null, content_type: '', text: '' }
  const attempts = Number(headers.get('millrace-attempts'))
  return { stage: 'replied', attempts, content_type: headers.get('content-type') ?? '', text }
}

/** What an answer that is no success says. */
export function problemOf(status: number, text: string): ApiProblem {
  try {
    const { code, detail, title, field, causes } = JSON.parse(text)
    const problem = new ApiProblem(status, code, detail ?? title, field ?? null)
    return Object.assign(problem, { causes })
  } catch {
    return new ApiProblem(status, 'internal', text.slice(0, 200) || `The server answered ${status}.`)
  }
}

async function json<T>(answered: Promise<string>): Promise<T> {
  return JSON.parse(await answered)
}

/** As JSON.parse, with every digit of every number. */
function parseExact(text: string): unknown {
  return JSON.parse(text, ((_key: string, value: unknown, context?: { source?: string }) => {
    const { rawJSON } = JSON as unknown as { rawJSON?: (source: string) => unknown }
    const source = context?.source
    const isInexact = typeof value === 'number' && source !== undefined && String(value) !== source
    return isInexact && rawJSON !== undefined ? rawJSON(source) : value
  }) as (key: string, value: unknown) => unknown)
}

/** Null for text that is not JSON. */
export function exactJson(text: string): unknown {
  try {
    return parseExact(text)
  } catch {
    return null
  }
}

/** An event as the live feed sends it. */
export function eventOf(text: string): StoredEvent {
  return parseExact(text) as StoredEvent
}

const part = encodeURIComponent

export const api = {
  session: (): Promise<Session> => json(call('GET', 'v1/session')),
  logIn: (key: string): Promise<string> => call('POST', 'v1/session', { body: { key } }),
  logOut: (): Promise<string> => call('DELETE', 'v1/session'),

  /** Whether the server can do its work; also when it says that it cannot. */
  readiness: async (signal?: AbortSignal): Promise<Readiness> => {
    try {
      return await json(call('GET', 'readyz', { signal }))
    } catch (problem) {
      const { status = 0, causes = [] } = problem as ApiProblem & { causes?: readonly Cause[] }
      if (status === 0) throw problem
      return { state: 'unready', causes }
    }
  },
  status: (signal?: AbortSignal): Promise<Status> => json(call('GET', 'v1/status', { signal })),
  history: (signal?: AbortSignal): Promise<History> => json(call('GET', 'v1/status/history', { signal })),

  events: async (query: Query, signal?: AbortSignal): Promise<EventPage> =>
    parseExact(await call('GET', 'v1/events', { query, signal })) as EventPage,
  journey: async (id: string, source?: string, signal?: AbortSignal): Promise<Journey> =>
    parseExact(await call('GET', `v1/events/${part(id)}`, { query: { source }, signal })) as Journey,
  /** @param text one event, or an array, as JSON. */
  publish: (topic: string, text: string): Promise<PublishVerdict> =>
    json(call('POST', 'v1/events', { query: { topic }, text })),
  find: (id: string, signal?: AbortSignal): Promise<readonly Found[]> =>
    json(call('GET', `v1/find/${part(id)}`, { signal })),

  /** @param text the heartbeat as JSON. @param traceparent kept as an attribute of its event. */
  heartbeat: (text: string, traceparent: string, signal?: AbortSignal): Promise<string> =>
    call('POST', 'v1/heartbeats', { text, headers: { traceparent }, signal }),
  agent: (id: string, signal?: AbortSignal): Promise<Agent> => json(call('GET', `v1/agents/${part(id)}`, { signal })),
  /** Resolves when the request is stored; its reply is asked for by the id. */
  request: (type: string, id: string, text: string, signal?: AbortSignal): Promise<RequestAnswer> => {
    const headers = {
      ...{ prefer: 'respond-async', 'millrace-request-id': id },
      'content-type': 'text/plain; charset=utf-8',
    }
    return requestAnswer(exchange('POST', `v1/requests/${part(type)}`, { text, headers, signal }))
  },
  /** @param type '' asks for requests of all types. */
  reply: (id: string, type: string, waitSeconds: number, signal?: AbortSignal): Promise<RequestAnswer> => {
    const headers = { prefer: `wait=${waitSeconds}` }
    return requestAnswer(exchange('GET', `v1/requests/${part(id)}`, { query: { type }, headers, signal }))
  },
  file: (id: string, signal?: AbortSignal): Promise<FileDescription> =>
    json(call('GET', `v1/files/${part(id)}`, { signal })),
  deadLetters: (query: Query, signal?: AbortSignal): Promise<DeadLetterPage> =>
    json(call('GET', 'v1/dead-letters', { query, signal })),
  deadLetterCauses: async (query: Query, signal?: AbortSignal): Promise<readonly DeadLetterCause[]> => {
    const answered = call('GET', 'v1/dead-letters', { query: { ...query, by: 'cause' }, signal })
    return (await json<{ readonly causes: readonly DeadLetterCause[] }>(answered)).causes
  },
  deadLetter: async (id: string, signal?: AbortSignal): Promise<DeadLetterDetail> =>
    parseExact(await call('GET', `v1/dead-letters/${part(id)}`, { signal })) as DeadLetterDetail,
  /** Works for about 5 s. */
  redrive: (body: object, signal?: AbortSignal): Promise<RedriveAnswer> =>
    json(call('POST', 'v1/dead-letters/redrive', { body, signal })),
  deleteDeadLetter: (id: string): Promise<string> => call('DELETE', `v1/dead-letters/${part(id)}`),

  pauseGroup: (topic: string, group: string, reason: string): Promise<string> =>
    call('POST', `v1/groups/${part(topic)}/${part(group)}/pause`, { body: { reason } }),
  resumeGroup: (topic: string, group: string, rate?: number): Promise<string> =>
    call('POST', `v1/groups/${part(topic)}/${part(group)}/resume`, { body: rate === undefined ? {} : { rate } }),

  groups: async (signal?: AbortSignal): Promise<readonly ListedGroup[]> =>
    (await json<{ readonly groups: readonly ListedGroup[] }>(call('GET', 'v1/groups', { signal }))).groups,
  /** Resolves with how many events are abandoned. */
  deleteGroup: async (topic: string, group: string): Promise<number> =>
    (await json<{ readonly abandoned: number }>(call('DELETE', `v1/groups/${part(topic)}/${part(group)}`))).abandoned,
  heldKeys: (topic: string, group: string, limit: number, signal?: AbortSignal): Promise<HeldKeys> =>
    json(call('GET', `v1/groups/${part(topic)}/${part(group)}/keys`, { query: { limit }, signal })),
  releaseKey: (topic: string, group: string, key: string, action: ReleaseAction): Promise<string> =>
    call('POST', `v1/groups/${part(topic)}/${part(group)}/keys/${part(key)}/${action}`),
  workers: async (signal?: AbortSignal): Promise<readonly Worker[]> =>
    (await json<{ readonly workers: readonly Worker[] }>(call('GET', 'v1/workers', { signal }))).workers,
  agents: (query: Query, signal?: AbortSignal): Promise<Paged<'agents', Agent>> =>
    json(call('GET', 'v1/agents', { query, signal })),
  subscribers: (query: Query, signal?: AbortSignal): Promise<Paged<'subscribers', Subscriber>> =>
    json(call('GET', 'v1/subscribers', { query, signal })),

  keys: (query: Query, signal?: AbortSignal): Promise<Paged<'keys', KeyDescription>> =>
    json(call('GET', 'v1/keys', { query, signal })),
  createKey: (request: KeyRequest): Promise<CreatedKey> => json(call('POST', 'v1/keys', { body: request })),
  revokeKey: (id: string): Promise<string> => call('DELETE', `v1/keys/${part(id)}`),
}
