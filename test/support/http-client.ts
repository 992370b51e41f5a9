// A raw client of the HTTP API.

import type { LedgerLine } from './checker.ts'

export interface HttpAnswer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** Answer body of `POST /v1/events` if at least one event was accepted, and the problem fields that tests check. */
export interface PublishBody {
  readonly accepted: number
  readonly dropped: number
  readonly durability: string
  readonly rejections: readonly {
    readonly index: number
    /** So many events from `index` on share it; absent for one. */
    readonly count?: number
    readonly id: string
    readonly code: string
    readonly message: string
    readonly retry_after?: number
  }[]
  readonly code: string
  readonly detail: string
}

/** What fails in the answering process, in `GET /readyz` and `GET /v1/status`. */
export interface CauseBody {
  readonly component: string
  readonly reason: string
  readonly message: string
}

/** `GET /v1/status`, see docs/http.md. */
export interface StatusBody {
  readonly version: string
  readonly uptime_seconds: number
  readonly durability: string
  readonly log: { readonly driver: string; readonly epoch: number | null }
  readonly store: { readonly driver: string; readonly up: boolean }
  readonly state: string
  readonly causes: readonly CauseBody[]
  readonly topics: readonly {
    readonly name: string
    readonly partitions: number
    readonly groups: readonly {
      readonly name: string
      readonly types: readonly string[]
      readonly waiting: number | null
      readonly ready: number | null
      readonly scheduled: number | null
      readonly held: number | null
      readonly in_flight: number | null
      readonly skipped: number | null
      readonly oldest_waiting_seconds: number | null
      readonly state: {
        readonly is: string
        readonly by: string | null
        readonly reason: string | null
        readonly since: string | null
      }
    }[]
  }[]
  readonly ledger: readonly LedgerLine[]
  readonly processes: readonly {
    readonly id: string
    readonly roles: readonly string[]
    readonly host: string
    readonly version: string
    readonly started_at: string
  }[]
  readonly subscribers: number | null
  readonly workers: number | null
}

/** A row of `GET /v1/events`. */
export interface EventBody {
  readonly event_id: string
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject: string
  readonly time: string
  readonly received_at: string
  readonly topic: string
  readonly priority: string
  readonly key: string
  readonly data?: unknown
  readonly data_omitted?: string
  readonly data_base64?: string
  readonly data_content_type: string
  readonly attributes: Readonly<Record<string, string>>
}

export interface PostOptions {
  readonly contentType?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Query string without the question mark: `topic=orders&overflow=drop`. */
  readonly query?: string
  readonly deadlineMs?: number
}

/** Sends a request and reads the whole answer. Rejects if there is no answer. */
export async function request(address: string, path: string, init: RequestInit = {}): Promise<HttpAnswer> {
  const response = await fetch(`http://${address}${path}`, { signal: AbortSignal.timeout(10_000), ...init })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

/** `POST /v1/events`. */
/** The metrics of a server, which a gateway in front of it has not. */
export async function metricsOf({
  http,
  ownHttp = http,
}: {
  readonly http: string
  readonly ownHttp?: string
}): Promise<string> {
  return (await request(ownHttp, '/metrics')).text
}

export function postEvents(
  address: string,
  body: NonNullable<RequestInit['body']>,
  options: PostOptions = {},
): Promise<HttpAnswer> {
  const { contentType = 'application/json', headers = {}, query = '', deadlineMs = 10_000 } = options
  return request(address, `/v1/events${query === '' ? '' : `?${query}`}`, {
    method: 'POST',
    body,
    headers: { 'content-type': contentType, ...headers },
    signal: AbortSignal.timeout(deadlineMs),
  })
}

/** Posts a value as JSON and returns the parsed answer. */
export async function postJson(
  address: string,
  value: unknown,
  options: PostOptions = {},
): Promise<{ status: number; headers: Headers; body: PublishBody }> {
  const { status, headers, text } = await postEvents(address, JSON.stringify(value), options)
  return { status, headers, body: JSON.parse(text) as PublishBody }
}

export async function getStatus(address: string): Promise<StatusBody> {
  const { status, text } = await request(address, '/v1/status')
  if (status !== 200) throw new Error(`GET /v1/status answered ${status}: ${text}`)
  return JSON.parse(text) as StatusBody
}

/** `GET /readyz`. */
export async function getReadiness(
  address: string,
): Promise<{ readonly status: number; readonly state: string; readonly causes: readonly CauseBody[] }> {
  const { status, text } = await request(address, '/readyz')
  return { ...JSON.parse(text), status }
}

/** One page of `GET /v1/events`. */
export async function listEvents(
  address: string,
  query: string,
): Promise<{ events: readonly EventBody[]; next_cursor: string | null }> {
  const { status, text } = await request(address, `/v1/events?${query}`)
  if (status !== 200) throw new Error(`GET /v1/events?${query} answered ${status}: ${text}`)
  return JSON.parse(text) as { events: EventBody[]; next_cursor: string | null }
}

/** Why the group `landing` of a topic, or some of its events, does not move; null when everything does. */
export async function landingProblem(address: string, topic = 'events'): Promise<string | null> {
  const { topics } = await getStatus(address)
  return topics.find(({ name }) => name === topic)?.groups[0]?.state.reason ?? null
}
