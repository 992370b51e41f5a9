// A server in another process, as a Pipeline for each caller: what a gateway serves.
//
// Job: pass each call on over gRPC, with the key, the request id and the trace of its caller, and give back what the server
// answers. Not its job: who may call (the server), retries of what may have been done.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { Metadata } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'
import { maxGetReplyMs } from '../event/request.ts'
import { PublishRequestSchema, PublishResponseSchema } from '../gen/millrace/v1/ingest_pb.ts'
import type { Administration } from '../pipeline/administration.ts'
import type { Agents } from '../pipeline/agents.ts'
import type { Files } from '../pipeline/files.ts'
import type { Grant, Keys } from '../pipeline/keys.ts'
import type { Live, LiveSubscription } from '../pipeline/live.ts'
import { watchIntervalMs } from '../pipeline/observations.ts'
import type {
  ListedGroup,
  Observed,
  Pipeline,
  PublishMessage,
  PublishOptions,
  PublishVerdict,
  Status,
} from '../pipeline/pipeline.ts'
import type { Requests } from '../pipeline/requests.ts'
import type { StatusHistory } from '../pipeline/status-history.ts'
import type { EventPage, EventQuery } from '../pipeline/stored-event.ts'
import type { WorkerStatus, WorkSession } from '../pipeline/work.ts'
import { listEvents } from '../wire/administration.ts'
import { agentRpcs } from '../wire/agents.ts'
import { fileRpcs } from '../wire/files.ts'
import { type CheckedKey, keyRpcs } from '../wire/keys.ts'
import { getCursor } from '../wire/live.ts'
import { ofDurability, ofRejection, overflowNumbers } from '../wire/publish.ts'
import { requestRpcs } from '../wire/requests.ts'
import type { Rpc } from '../wire/rpc.ts'
import { statusRpcs } from '../wire/status.ts'
import { administrationOver } from './administration-client.ts'
import { ConnectionPool } from './connection-pool.ts'
import { downloadCall, uploadCall } from './file-calls.ts'
import { decodeAnswer, encodeRequest, type MakeCall } from './make-call.ts'
import { subscribeRemotely } from './remote-live.ts'
import { dropAfter, resentCall, type SentCall } from './resent-call.ts'
import { ServerConnection, type ServerConnectionOptions } from './server-connection.ts'
import { watchCall } from './watch-call.ts'

/** Longer than one call of redrive or replay takes. */
const deadlineMs = 30_000
/** The server keeps this part of a request's deadline for its answer. */
const deadlineMarginMs = 50
const maxSilenceMs = 10_000

const servingStatus = 1

/** What goes with each call, by the name of its metadata, of the characters that gRPC takes: `authorization`, `x-request-id`, `traceparent`, `tracestate`. */
export type CallerMetadata = Readonly<Record<string, string | undefined>>

export class RemoteServer {
  readonly #pool: ConnectionPool
  readonly #subscriptions = new Set<LiveSubscription>()

  constructor(options: ServerConnectionOptions) {
    this.#pool = new ConnectionPool(() => new ServerConnection(options))
  }

  pipelineOf(caller: CallerMetadata): Pipeline {
    return new RemotePipeline(this.#pool, this.#subscriptions, caller)
  }

  /** Whether the server says that it is ready. Errors: `unavailable`, with the reason: none answers. */
  async isServing(withinMs: number): Promise<boolean> {
    const call = { request: Buffer.alloc(0), decode: (bytes: Buffer) => bytes[1], deadlineMs: withinMs }
    return (await resentCall(this.#pool.first, { path: 'grpc.health.v1.Health/Check', ...call })) === servingStatus
  }

  /** Subscribers are told to come back. */
  drain(): void {
    for (const subscription of this.#subscriptions) subscription.endSoon()
  }

  /** Running calls can still finish. */
  close(): void {
    this.#pool.close()
  }
}

class RemotePipeline implements Pipeline {
  readonly administration: Administration
  readonly agents: Agents
  readonly files: Files
  readonly keys: Keys
  readonly live: Live
  readonly requests: Requests
  readonly #pool: ConnectionPool
  readonly #caller: CallerMetadata

  constructor(pool: ConnectionPool, subscriptions: Set<LiveSubscription>, caller: CallerMetadata) {
    this.#pool = pool
    this.#caller = caller
    const call: MakeCall = (rpc, request, { signal } = {}) => this.#call(rpc, request, { signal })
    this.administration = administrationOver(call)
    this.agents = {
      heartbeat: async ({ traceparent: _, ...heartbeat }) => void (await call(agentRpcs.heartbeat, heartbeat)),
      listAgents: (query) => call(agentRpcs.listAgents, query),
      agent: async (agentId) => (await call(agentRpcs.getAgent, { agentId })).agent,
    }
    this.files = {
      upload: (header, chunks, { analysisWithinMs, signal }) =>
        this.#lasting(async (client) => {
          const sent = { ...header, analysisWithinMs: analysisWithinMs() }
          return (await uploadCall(client, sent, chunks, { signal, metadata: this.#metadata() })).stored
        }),
      uploadState: (fileId) => call(fileRpcs.uploadState, { fileId }),
      file: (fileId) => call(fileRpcs.file, { fileId }),
      download: (fileId, options = {}) => this.#download(fileId, options),
    }
    const keyOfGrant = new WeakMap<Grant, string>()
    this.keys = {
      create: (request) => call(keyRpcs.create, request),
      list: (query) => call(keyRpcs.list, query),
      revoke: async (keyId) => void (await call(keyRpcs.revoke, { keyId })),
      check: async (key) => {
        const grant = judgedElsewhere(await call(keyRpcs.check, { key }))
        keyOfGrant.set(grant, key)
        return grant
      },
      createTicket: (grant, request) => call(keyRpcs.createTicket, { ...request, key: keyOfGrant.get(grant) ?? '' }),
      // The server does both where it takes a call.
      checkTicket: async () => null,
      checkSession: async () => null,
      createSession: async (key) => {
        const { grant, ...session } = await call(keyRpcs.createSession, { key })
        return { ...session, grant: judgedElsewhere(grant) }
      },
      onEnded: () => () => {},
    }
    this.live = {
      subscribe: (query) => subscribeRemotely(pool, query, this.#metadata(), subscriptions),
      landedCursor: async (topic) => (await call(getCursor, { topic })).cursor,
      subscribers: async () => (await call(statusRpcs.subscribers, {})).subscribers,
    }
    this.requests = {
      request: (message, { signal } = {}) => {
        const { deadlineMs: limitMs, waitMs, caller: _, ...sent } = message
        const longestMs = waitMs === null ? (limitMs ?? deadlineMs) + deadlineMarginMs : waitMs + deadlineMs
        const answering = this.#call(requestRpcs.request, { ...sent, waitMs }, { signal, deadlineMs: longestMs })
        message.data = new Uint8Array(0)
        return answering
      },
      getReply: async ({ requestId, type, waitMs }, { signal } = {}) => {
        const untilMs = performance.now() + waitMs
        for (let leftMs = waitMs; ; leftMs = Math.max(0, Math.ceil(untilMs - performance.now()))) {
          const query = { requestId, type, waitMs: Math.min(leftMs, maxGetReplyMs) }
          const longestMs = query.waitMs + deadlineMs
          const answer = await this.#call(requestRpcs.getReply, query, { signal, deadlineMs: longestMs })
          if (answer.stage === 'replied' || leftMs <= maxGetReplyMs) return answer
        }
      },
    }
  }

  /** Errors: as Pipeline; `unimplemented` for a numbered message. */
  async publish(message: PublishMessage, { maxWaitMs = 0, signal }: PublishOptions = {}): Promise<PublishVerdict> {
    if (message.producer !== undefined) throw notHere('numbered messages', 'producer')
    const envelope = create(PublishRequestSchema, {
      topic: message.topic,
      overflow: overflowNumbers[message.overflow],
      answerAlways: true,
    })
    const { accepted, dropped, rejections, durability } = await this.#send({
      path: 'millrace.v1.IngestService/Publish',
      request: Buffer.concat([message.message, toBinary(PublishRequestSchema, envelope)]),
      decode: (bytes) => fromBinary(PublishResponseSchema, bytes),
      deadlineMs: maxWaitMs + deadlineMs,
      signal,
    })
    return {
      accepted: Number(accepted),
      dropped: Number(dropped),
      rejections: rejections.map(ofRejection),
      durability: ofDurability(durability),
    }
  }

  listEvents(query: EventQuery): Promise<EventPage> {
    return this.#call(listEvents, query)
  }

  persistence(): string {
    return 'unknown'
  }

  async status(): Promise<Status> {
    return (await this.#call(statusRpcs.status, {})).status
  }

  observe(): Promise<Observed> {
    return this.#lasting(async (client) => {
      const options = { intervalMs: watchIntervalMs.default, maxSilenceMs, signal: undefined }
      for await (const observed of watchCall(client, { ...options, metadata: this.#metadata() })) return observed
      throw new MillraceError('unavailable', 'the server ended the call')
    })
  }

  async groups(): Promise<readonly ListedGroup[]> {
    return (await this.#call(statusRpcs.groups, {})).groups
  }

  async workers(): Promise<readonly WorkerStatus[]> {
    return (await this.#call(statusRpcs.workers, {})).workers
  }

  history(): Promise<StatusHistory> {
    return this.#call(statusRpcs.history, {})
  }

  /** Workers speak gRPC, and so with the server itself. */
  async work(): Promise<WorkSession> {
    throw notHere('workers', 'join')
  }

  async *#download(fileId: string, { signal, range }: NonNullable<Parameters<Files['download']>[1]>) {
    const connection = this.#pool.take()
    try {
      const client = await connection.open()
      yield* downloadCall(client, fileId, range, { signal, metadata: this.#metadata() })
    } finally {
      this.#pool.giveBack(connection)
    }
  }

  async #call<Request, Answer>(
    rpc: Rpc<Request, Answer>,
    request: Request,
    options: { readonly signal?: AbortSignal | undefined; readonly deadlineMs?: number } = {},
  ): Promise<Answer> {
    const decode = (bytes: Buffer) => decodeAnswer(rpc, bytes)
    return await this.#send({ path: rpc.path, request: encodeRequest(rpc, request), decode, deadlineMs, ...options })
  }

  async #send<Response>(call: SentCall<Response>): Promise<Response> {
    const connection = this.#pool.take()
    try {
      return await resentCall(connection, { ...call, metadata: this.#metadata() })
    } finally {
      this.#pool.giveBack(connection)
    }
  }

  /** A stream, on a connection that has room for it. */
  async #lasting<Result>(
    work: (client: Awaited<ReturnType<ServerConnection['open']>>) => Promise<Result>,
  ): Promise<Result> {
    const connection = this.#pool.take()
    try {
      const client = await connection.open()
      return await work(client).catch((thrown: unknown) => {
        dropAfter(connection, client, thrown)
        throw thrown
      })
    } finally {
      this.#pool.giveBack(connection)
    }
  }

  #metadata(): Metadata {
    const metadata = new Metadata()
    for (const [name, value] of Object.entries(this.#caller)) if (value !== undefined) metadata.set(name, value)
    return metadata
  }
}

/** The server that the calls go to refuses what the key does not allow. */
function judgedElsewhere(checked: CheckedKey): Grant {
  return { ...checked, allows: () => true, allowsTopic: () => true, allowsType: () => true }
}

function notHere(what: string, field: string): MillraceError {
  return new MillraceError('unimplemented', `a gateway takes no ${what}: connect to the server`, { field })
}
