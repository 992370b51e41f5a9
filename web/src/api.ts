// The client of the HTTP API: one function per route that the console uses. Routes, what they take and what they answer are
// checked against the OpenAPI document.
//
// Names as on the wire. A number, a time or a list that the server does not know is null, never 0.

import type {
  DeadLetterCause,
  DeadLetterCauses,
  DeadLetterPage,
  KeyDescription,
  Operations,
  Readiness,
  StoredEvent,
} from './gen/api-types.ts'

export type * from './gen/api-types.ts'

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

export type Lane = StoredEvent['priority']
export type Scope = KeyDescription['scopes'][number]
export type KeyRequest = Operations['POST /v1/keys']['body']
export type Redrive = Operations['POST /v1/dead-letters/redrive']['body']
export type ReleaseAction = 'retry' | 'release' | 'skip'

/** How far a request has come, and its reply. */
export interface RequestAnswer {
  readonly stage: 'accepted' | 'started' | 'replied'
  /** Null before the reply. */
  readonly attempts: number | null
  /** The reply's; '' when it has none. */
  readonly content_type: string
  /** The reply, as it came. */
  readonly text: string
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

type Route = keyof Operations
type Member<R extends Route, Name extends string> =
  Operations[R] extends Readonly<Record<Name, infer Value>> ? Value : undefined
type Given<Value> = { readonly [Name in keyof Value]?: Value[Name] | undefined }

/** `'/v1/groups/:topic/:group'` → `'topic' | 'group'`. */
type Parameter<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? Name | Parameter<Rest>
  : Path extends `${string}:${infer Name}`
    ? Name
    : never

interface Call<R extends Route> {
  readonly query?: QueryOf<R>
  /** Sent as JSON. */
  readonly body?: Member<R, 'body'>
  /** Sent as it is; JSON unless the headers say otherwise. */
  readonly text?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
}

type Answer<R extends Route> = Member<R, 'answer'>
type QueryOf<R extends Route> = Given<Member<R, 'query'>>
type Path<R extends Route> = Readonly<Record<Parameter<R>, string>>

interface HttpAnswer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** What the route answers as JSON. Errors: ApiProblem. */
async function answerOf<R extends Route>(route: R, path: Path<R>, given?: Call<R>): Promise<Answer<R>> {
  return JSON.parse((await exchange(route, path, given)).text)
}

/** The same, with every digit of every number. */
async function exactAnswerOf<R extends Route>(route: R, path: Path<R>, given?: Call<R>): Promise<Answer<R>> {
  return parseExact((await exchange(route, path, given)).text) as Answer<R>
}

async function exchange<R extends Route>(
  route: R,
  parameters: Path<R>,
  { query = {}, body, text, headers = {}, signal }: Call<R> = {},
): Promise<HttpAnswer> {
  const [method = '', pattern = ''] = route.split(' ')
  const path = pattern.replace(/:(\w+)/g, (_, name: Parameter<R>) => encodeURIComponent(parameters[name]))
  const content = text ?? (body === undefined ? undefined : JSON.stringify(body))
  let answer: Response
  try {
    answer = await fetch(addressOf(path, query as Query), {
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

async function requestAnswer(answered: Promise<HttpAnswer>): Promise<RequestAnswer> {
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

export const api = {
  session: () => answerOf('GET /v1/session', {}),
  logIn: (key: string) => answerOf('POST /v1/session', {}, { body: { key } }),
  logOut: () => answerOf('DELETE /v1/session', {}),

  /** Whether the server can do its work; also when it says that it cannot. */
  readiness: async (signal?: AbortSignal): Promise<Pick<Readiness, 'state' | 'causes'>> => {
    try {
      return await answerOf('GET /readyz', {}, { signal })
    } catch (problem) {
      const { status = 0, causes = [] } = problem as ApiProblem & Partial<Pick<Readiness, 'causes'>>
      if (status === 0) throw problem
      return { state: 'unready', causes }
    }
  },
  status: (signal?: AbortSignal) => answerOf('GET /v1/status', {}, { signal }),
  history: (signal?: AbortSignal) => answerOf('GET /v1/status/history', {}, { signal }),

  events: (query: QueryOf<'GET /v1/events'>, signal?: AbortSignal) =>
    exactAnswerOf('GET /v1/events', {}, { query, signal }),
  journey: (id: string, source?: string, signal?: AbortSignal) =>
    exactAnswerOf('GET /v1/events/:id', { id }, { query: { source }, signal }),
  /** @param text one event, or an array, as JSON. */
  publish: (topic: string, text: string) => answerOf('POST /v1/events', {}, { query: { topic }, text }),
  find: (id: string, signal?: AbortSignal) => answerOf('GET /v1/find/:id', { id }, { signal }),

  /** @param text the heartbeat as JSON. @param traceparent kept as an attribute of its event. */
  heartbeat: async (text: string, traceparent: string, signal?: AbortSignal) =>
    (await exchange('POST /v1/heartbeats', {}, { text, headers: { traceparent }, signal })).text,
  agent: (id: string, signal?: AbortSignal) => answerOf('GET /v1/agents/:id', { id }, { signal }),
  /** Resolves when the request is stored; its reply is asked for by the id. */
  request: (type: string, id: string, text: string, signal?: AbortSignal): Promise<RequestAnswer> => {
    const headers = {
      ...{ prefer: 'respond-async', 'millrace-request-id': id },
      'content-type': 'text/plain; charset=utf-8',
    }
    return requestAnswer(exchange('POST /v1/requests/:type', { type }, { text, headers, signal }))
  },
  /** @param type '' asks for requests of all types. */
  reply: (id: string, type: string, waitSeconds: number, signal?: AbortSignal): Promise<RequestAnswer> => {
    const headers = { prefer: `wait=${waitSeconds}` }
    return requestAnswer(exchange('GET /v1/requests/:id', { id }, { query: { type }, headers, signal }))
  },
  file: (id: string, signal?: AbortSignal) => answerOf('GET /v1/files/:id', { id }, { signal }),
  deadLetters: async (query: QueryOf<'GET /v1/dead-letters'>, signal?: AbortSignal) =>
    (await answerOf('GET /v1/dead-letters', {}, { query, signal })) as DeadLetterPage,
  deadLetterCauses: async (
    query: QueryOf<'GET /v1/dead-letters'>,
    signal?: AbortSignal,
  ): Promise<readonly DeadLetterCause[]> => {
    const answer = await answerOf('GET /v1/dead-letters', {}, { query: { ...query, by: 'cause' }, signal })
    return (answer as DeadLetterCauses).causes
  },
  deadLetter: (id: string, signal?: AbortSignal) => exactAnswerOf('GET /v1/dead-letters/:id', { id }, { signal }),
  /** Works for about 5 s. */
  redrive: (body: Redrive, signal?: AbortSignal) => answerOf('POST /v1/dead-letters/redrive', {}, { body, signal }),
  deleteDeadLetter: async (id: string): Promise<void> => {
    await exchange('DELETE /v1/dead-letters/:id', { id })
  },

  pauseGroup: async (topic: string, group: string, reason: string): Promise<void> => {
    await exchange('POST /v1/groups/:topic/:group/pause', { topic, group }, { body: { reason } })
  },
  resumeGroup: async (topic: string, group: string, rate?: number): Promise<void> => {
    const body = rate === undefined ? {} : { rate }
    await exchange('POST /v1/groups/:topic/:group/resume', { topic, group }, { body })
  },

  groups: async (signal?: AbortSignal) => (await answerOf('GET /v1/groups', {}, { signal })).groups,
  /** Resolves with how many events are abandoned. */
  deleteGroup: async (topic: string, group: string): Promise<number> =>
    (await answerOf('DELETE /v1/groups/:topic/:group', { topic, group })).abandoned,
  heldKeys: (topic: string, group: string, limit: number, signal?: AbortSignal) =>
    answerOf('GET /v1/groups/:topic/:group/keys', { topic, group }, { query: { limit }, signal }),
  releaseKey: async (topic: string, group: string, key: string, action: ReleaseAction): Promise<void> => {
    await exchange(`POST /v1/groups/:topic/:group/keys/:key/${action}`, { topic, group, key })
  },
  workers: async (signal?: AbortSignal) => (await answerOf('GET /v1/workers', {}, { signal })).workers,
  agents: (query: QueryOf<'GET /v1/agents'>, signal?: AbortSignal) => answerOf('GET /v1/agents', {}, { query, signal }),
  subscribers: (query: QueryOf<'GET /v1/subscribers'>, signal?: AbortSignal) =>
    answerOf('GET /v1/subscribers', {}, { query, signal }),

  keys: (query: QueryOf<'GET /v1/keys'>, signal?: AbortSignal) => answerOf('GET /v1/keys', {}, { query, signal }),
  createKey: (body: KeyRequest) => answerOf('POST /v1/keys', {}, { body }),
  revokeKey: async (id: string): Promise<void> => {
    await exchange('DELETE /v1/keys/:id', { id })
  },
}
