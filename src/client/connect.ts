// A client of Millrace: Pipeline over gRPC.
//
// Not its job: a flow of events with resends (publisher.ts), working on events (worker.ts). A call here is made once; it is retried only when a
// stopping server has refused it unread. After any other error the caller decides whether to retry.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { MillraceError, toMillraceError } from '../errors.ts'
import { defaultTopic, EventIdGenerator } from '../event/event.ts'
import { type EventInput, EventStamper } from '../event/event-input.ts'
import { BatchBuilder } from '../event/record-batch.ts'
import { maxGetReplyMs } from '../event/request.ts'
import type { Event as EventOnWire } from '../gen/millrace/v1/event_pb.ts'
import { PublishRequestSchema, PublishResponseSchema } from '../gen/millrace/v1/ingest_pb.ts'
import type { Administration } from '../pipeline/administration.ts'
import { watchIntervalMs } from '../pipeline/observations.ts'
import type { Observed, Overflow, Pipeline, PublishMessage, PublishVerdict, Status } from '../pipeline/pipeline.ts'
import type { RequestAnswer } from '../pipeline/requests.ts'
import { agentRpcs } from '../wire/agents.ts'
import { ofDurability, ofRejection, overflowNumbers } from '../wire/publish.ts'
import { requestRpcs } from '../wire/requests.ts'
import type { Rpc } from '../wire/rpc.ts'
import { statusRpcs } from '../wire/status.ts'
import { administrationOver } from './administration-client.ts'
import { type HeartbeatInput, heartbeatOf, type ListedAgents, listedAgents } from './agent-client.ts'
import { ConnectionPool } from './connection-pool.ts'
import { handledEventOf } from './event-of-wire.ts'
import { type ClientFiles, FilesClient, type UploadedFile, type UploadFileOptions } from './files-client.ts'
import { type ClientKeys, keysOver } from './key-client.ts'
import { LiveFollower, type LiveItem, type SubscribeOptions } from './live-client.ts'
import { decodeAnswer, encodeRequest, type MakeCall } from './make-call.ts'
import { Publisher } from './publisher.ts'
import type { PublisherOptions } from './publisher-options.ts'
import { eachEvent } from './rejected-events.ts'
import { messageOf, type ReceivedReply, type RequestInput, withReaders } from './request-client.ts'
import { dropAfter, resentCall } from './resent-call.ts'
import { type ClientTls, secureContextOf } from './secure-context.ts'
import { ServerConnection } from './server-connection.ts'
import { watchCall } from './watch-call.ts'
import { type RequestWorkOptions, Worker, type WorkOptions } from './worker.ts'

export interface ConnectOptions {
  /**
   * gRPC addresses of the servers, `host:port`, tried in turn; or a function that returns them before each attempt.
   * Default `127.0.0.1:50051`.
   */
  readonly addresses?: readonly string[] | (() => readonly string[])
  /**
   * Connect with TLS; or a function that returns it before each attempt, as for files that are renewed. Default: without
   * TLS.
   */
  readonly tls?: ClientTls | (() => ClientTls | null | Promise<ClientTls | null>)
  /** An API key, `mr_…`, sent with each call. Default: none, for a server that asks for no key. */
  readonly key?: string | null
  /** Timeout of one call, connecting included, in milliseconds. Default 30,000. */
  readonly deadlineMs?: number
  /** Timeout of one connection attempt to one address, in milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number
}

export interface CallOptions {
  /** Timeout of the call, in milliseconds. Default: that of the client. */
  readonly deadlineMs?: number
  /** Cancels the call; its outcome is then unknown. */
  readonly signal?: AbortSignal
}

export interface WatchOptions {
  /** Interval between two answers, in milliseconds: 200 to 60,000. Default 1,000. */
  readonly intervalMs?: number
  /** How late an answer may be, beyond the interval, before the watch fails, in milliseconds. Default 10,000. */
  readonly maxSilenceMs?: number
  /** Ends the watch without an error. */
  readonly signal?: AbortSignal
}

export interface ListAgentsOptions extends CallOptions {
  /** Max agents of the page, 1 to 1,000. Default 100. */
  readonly limit?: number
  /** `nextCursor` of the page before. */
  readonly cursor?: string | null
}

export interface GetReplyOptions extends CallOptions {
  /** The type of the request. Default: requests of all types are asked. */
  readonly type?: string
  /** How long to wait for the reply, in milliseconds, within the timeout of each call. Default 0. */
  readonly waitMs?: number
}

export interface PublishEventsOptions extends CallOptions {
  /** A declared topic. Default `events`. */
  readonly topic?: string
  /** What happens to events when there is no room. Default `reject`; `wait` waits up to 10 s, then as `reject`. */
  readonly overflow?: Overflow
}

/** A key has no other characters; the server judges the rest. */
const keyPattern = /^[!-~]{1,255}$/

/**
 * Creates a client. It connects when the first call is made, and reconnects after the connection was lost.
 *
 * ```ts
 * const client = connect({ addresses: ['127.0.0.1:50051'] })
 * const verdict = await client.publishEvents([{ type: 'order.placed', data: { n: 1 } }])
 * client.close()
 * ```
 *
 * @throws MillraceError `invalid_event`: the key has characters that no key has.
 */
export function connect(options: ConnectOptions = {}): Client {
  return new Client(options)
}

/** The parts of Pipeline that gRPC offers; created by `connect`. Events are listed over HTTP only, GET /v1/events. */
export class Client implements Pick<Pipeline, 'publish' | 'status' | 'administration'> {
  /** Journeys of events, dead letters, redrive, replay, and groups. */
  readonly administration: Administration
  /** Descriptions and contents of files; `upload` stores one. */
  readonly files: ClientFiles
  /** API keys: makes, lists, revokes and checks them. */
  readonly keys: ClientKeys
  readonly #files: FilesClient
  readonly #connections: ConnectionPool
  readonly #deadlineMs: number
  readonly #stamper = new EventStamper(Date.now)
  readonly #ids = new EventIdGenerator()

  /** Use `connect()`. */
  constructor(options: ConnectOptions) {
    const { addresses = ['127.0.0.1:50051'], key = null, deadlineMs = 30_000, connectTimeoutMs = 5000 } = options
    const { tls = null } = options
    if (key !== null && !keyPattern.test(key)) {
      throw new MillraceError('invalid_event', 'key is not a key: it has spaces or control characters', {
        field: 'key',
      })
    }
    this.#deadlineMs = deadlineMs
    this.#connections = new ConnectionPool(
      () =>
        new ServerConnection({
          addresses: typeof addresses === 'function' ? addresses : () => addresses,
          connectTimeoutMs,
          secureContext: async () => secureContextOf(typeof tls === 'function' ? await tls() : tls),
          key,
        }),
    )
    const call: MakeCall = (rpc, request, options = {}) => this.#callRpc(rpc, request, options)
    this.administration = administrationOver(call)
    this.#files = new FilesClient({ open: () => this.#connections.first.open(), call })
    this.files = this.#files
    this.keys = keysOver(call)
  }

  /**
   * Publishes events as one record batch and waits for the server's verdict.
   *
   * @param events 1 to 100,000 events of one topic, 4 MiB together. An event without an id gets a UUIDv7, one without a
   *   time gets the current time. Only events with ids of their own can be published again without becoming new events.
   * @returns Accepted and dropped counts, the durability reached, and one rejection (index, id, code, message, retry
   *   hint) for each rejected event.
   * @throws MillraceError When no event was accepted or dropped: `backlogged` or `disk_full` (retry after
   *   `retryAfterMs`), else the code of the first rejection. `unavailable`, `deadline_exceeded`, `cancelled`,
   *   `internal` (`outcomeUnknown`): events may have been accepted; publish again with the same ids.
   */
  async publishEvents(events: Iterable<EventInput>, options: PublishEventsOptions = {}): Promise<PublishVerdict> {
    const builder = new BatchBuilder()
    for (const event of events) builder.add(this.#stamper.stamp(event))
    const { topic = defaultTopic, overflow = 'reject' } = options
    const message = builder.take()
    const verdict = await this.publish({ topic, overflow, message }, options)
    return { ...verdict, rejections: eachEvent(verdict.rejections, message) }
  }

  /**
   * Publishes one encoded message, see Pipeline. As `publishEvents`, for events that are already encoded
   * (`encodeBatch`). With overflow `wait` the server waits at most 10 s.
   *
   * @throws MillraceError as publishEvents. `unimplemented` for a numbered message: use `publisher()`.
   */
  async publish(message: PublishMessage, options: CallOptions = {}): Promise<PublishVerdict> {
    if (message.producer !== undefined) {
      throw new MillraceError('unimplemented', 'publish() does not support numbered messages: use client.publisher()', {
        field: 'producer',
      })
    }
    const envelope = toBinary(
      PublishRequestSchema,
      create(PublishRequestSchema, { topic: message.topic, overflow: overflowNumbers[message.overflow] }),
    )
    const request = Buffer.concat([message.message, envelope])
    const decode = (bytes: Buffer) => fromBinary(PublishResponseSchema, bytes)
    const response = await this.#call('millrace.v1.IngestService/Publish', request, decode, options)
    return {
      accepted: Number(response.accepted),
      dropped: Number(response.dropped),
      rejections: response.rejections.map(ofRejection),
      durability: ofDurability(response.durability),
    }
  }

  /**
   * Uploads a file as a stream: a path, or chunks of any size. Compares the SHA-256 of what was sent with that of what the
   * server has stored.
   *
   * @param options.filename metadata, without directories. Default: that of the path.
   * @param options.fileId a UUID, by which `files.uploadState` can be asked meanwhile. Default: a new one.
   * @returns The id, size in bytes, SHA-256, and the analysis as JSON text, null when there is none by the deadline. The
   *   file is complete and flushed.
   * @throws MillraceError `invalid_event` (names the field), `already_exists` (the id), `event_too_large`, `backlogged`,
   *   `disk_full`, `draining`: nothing is stored. `unavailable`, `deadline_exceeded`, `cancelled`: ask `files.file` with
   *   the id, or send it again with the same one: `already_exists` then says that it is there. The error of a path that
   *   cannot be read, or of the chunks.
   */
  upload(source: string | AsyncIterable<Uint8Array>, options: UploadFileOptions = {}): Promise<UploadedFile> {
    return this.#files.upload(source, options)
  }

  /**
   * Returns the state of the server, its topics and groups, and the ledger of events. An unknown value is null, never
   * 0.
   *
   * @throws MillraceError `unavailable`, `deadline_exceeded`: safe to retry.
   */
  async status(options: CallOptions = {}): Promise<Status> {
    return (await this.#callRpc(statusRpcs.status, {}, options)).status
  }

  /**
   * Yields the status at each interval, with totals from which a caller can compute rates (`Observations`), until the
   * loop over it ends or the signal aborts. It is one call to one server and does not reconnect.
   *
   * @throws MillraceError `invalid_event` (the interval); `unavailable`, `draining` (the server or its log does not
   *   answer, or the server is stopping): safe to watch again.
   */
  async *watchStatus({
    intervalMs = watchIntervalMs.default,
    maxSilenceMs = 10_000,
    signal,
  }: WatchOptions = {}): AsyncGenerator<Observed, void, undefined> {
    const connection = this.#connections.first
    const client = await connection.open()
    try {
      const options = { intervalMs, maxSilenceMs: intervalMs + maxSilenceMs, signal }
      yield* watchCall(client, options)
    } catch (error) {
      dropAfter(connection, client, error)
      throw error
    }
  }

  /**
   * Says that an agent lives. Resolves when the heartbeat is as durable as an accepted event; the agent is listed as online
   * some time later, at most about a second while the database answers.
   *
   * @throws MillraceError `invalid_event` (`field` is `agent_id` or `metadata`); `backlogged`, `disk_full` (retry after
   *   `retryAfterMs`); `unavailable`, `deadline_exceeded`, `cancelled`, `internal`: send another one.
   */
  async heartbeat(heartbeat: HeartbeatInput, options: CallOptions = {}): Promise<void> {
    await this.#callRpc(agentRpcs.heartbeat, heartbeatOf(heartbeat), options)
  }

  /**
   * Lists the agents that have sent heartbeats, by id, a page at a time. A page may have fewer than `limit` before the
   * end: the metadata of a page is about 1 MiB at most. Integers of metadata beyond 2^53 lose digits.
   *
   * @throws MillraceError `invalid_event` (the limit or the cursor); `unavailable` (the server or its database does not
   *   answer), `deadline_exceeded`: safe to retry.
   */
  async agents({ limit = 100, cursor = null, ...options }: ListAgentsOptions = {}): Promise<ListedAgents> {
    return listedAgents(await this.#callRpc(agentRpcs.listAgents, { limit, cursor }, options))
  }

  /**
   * Asks the workers of a type, and waits for their reply. The deadline is that of the call, at most 300 s: work that has
   * not begun by then is skipped.
   *
   * ```ts
   * const reply = await client.request({ type: 'text.analyze', data: 'to be or not to be' })
   * reply.json() // { words: 6, characters: 18, lines: 1 }
   * ```
   *
   * @throws MillraceError as Requests.request: `unavailable` at once when no worker serves the type; `deadline_exceeded`;
   *   `failed_precondition` (refused by the worker, or an id used with other content), `internal` (all attempts failed).
   *   `outcomeUnknown`: send it again with the same id, which is `logFields.request_id` of the error.
   */
  async request(request: RequestInput, options: CallOptions = {}): Promise<ReceivedReply> {
    const answer = await this.#withRequestId(request, (input) =>
      this.#waitingCall(requestRpcs.request, { ...messageOf(input), waitMs: null }, options),
    )
    if (answer.stage === 'replied') return withReaders(answer)
    throw new MillraceError('internal', `the server answered with the stage ${answer.stage}, and no reply`)
  }

  /**
   * Sends a request without waiting for its reply, which `getReply` gets. It goes on for as long as replies are kept.
   *
   * @throws MillraceError as `request`, but for those of the worker.
   */
  sendRequest(request: RequestInput, options: CallOptions = {}): Promise<RequestAnswer> {
    return this.#withRequestId(request, (input) =>
      this.#callRpc(requestRpcs.request, { ...messageOf(input), waitMs: 0 }, options),
    )
  }

  async #withRequestId(
    request: RequestInput,
    call: (input: RequestInput) => Promise<RequestAnswer>,
  ): Promise<RequestAnswer> {
    const { requestId = this.#ids.next() } = request
    try {
      return await call({ ...request, requestId })
    } catch (thrown) {
      throw toMillraceError(thrown).withLogFields({ request_id: requestId })
    }
  }

  /**
   * The reply to a request that was sent before, to any server. A wait of more than a minute takes several calls, each with
   * the deadline.
   *
   * @throws MillraceError `not_found`: no such request was sent, or its reply is no longer kept. Those of the worker and
   *   `deadline_exceeded`, as `request`.
   */
  async getReply(
    requestId: string,
    { type = '', waitMs = 0, ...options }: GetReplyOptions = {},
  ): Promise<RequestAnswer> {
    const untilMs = performance.now() + waitMs
    for (let leftMs = waitMs; ; leftMs = Math.max(0, Math.ceil(untilMs - performance.now()))) {
      const query = { requestId, type, waitMs: Math.min(leftMs, maxGetReplyMs) }
      const answer = await this.#waitingCall(requestRpcs.getReply, query, options)
      if (answer.stage === 'replied' || leftMs <= maxGetReplyMs) return answer
    }
  }

  /**
   * Starts a flow of events; see Publisher. The client must stay open until the publisher is closed.
   *
   * @throws MillraceError `invalid_event`: an option is out of its range.
   */
  publisher(options: PublisherOptions = {}): Publisher {
    return new Publisher(this.#connections.first, options, {
      now: Date.now,
      monotonicNow: () => performance.now(),
      random: Math.random,
    })
  }

  /**
   * Works on the events of a group in this process: joins the group at a server, which gives it events, and calls the
   * handler. It joins again after a cut. The client must stay open until the worker is closed.
   *
   * ```ts
   * const worker = client.work({ group: 'mailer', type: 'order.*', handle: (event) => mail(event.json()) })
   * process.once('SIGTERM', () => worker.close())
   * await worker.ended
   * ```
   *
   * @throws MillraceError `invalid_event`: an option is not valid.
   */
  work(options: WorkOptions | RequestWorkOptions): Worker {
    const connection = this.#connections.take()
    try {
      return new Worker(options, {
        connection,
        publish: (message) => this.publish(message),
        file: (fileId) => this.files.download(fileId),
        now: Date.now,
        random: Math.random,
        onEnded: () => this.#connections.giveBack(connection),
      })
    } catch (error) {
      this.#connections.giveBack(connection)
      throw error
    }
  }

  /**
   * Follows a topic: yields events as they are accepted, until the loop over it ends or the signal aborts. It holds nothing back:
   * while the caller is busy, events wait at the server in a bounded buffer, and a gap says how many were dropped. After a
   * cut it connects again and goes on where it was: each event comes once, those of a key in order.
   *
   * ```ts
   * for await (const item of client.subscribe({ types: ['order.*'] })) {
   *   if (item.is === 'event') console.log(item.event.json())
   *   if (item.is === 'gap') console.warn(`missed ${item.dropped ?? 'some'} events`)
   * }
   * ```
   *
   * The client must stay open until then.
   *
   * @throws MillraceError what no retry mends: `invalid_event` (names the field), `not_found` (the topic),
   *   `failed_precondition` (another subscription took the id), `permission_denied`, `backlogged` (with `disconnect`).
   */
  subscribe(options: SubscribeOptions = {}): AsyncGenerator<LiveItem, void, undefined> {
    return this.follow(options, handledEventOf)
  }

  /** The same with events in another form. */
  follow<Event>(
    options: SubscribeOptions,
    eventOf: (event: EventOnWire) => Event,
  ): AsyncGenerator<LiveItem<Event>, void, undefined> {
    const follower = new LiveFollower(options, {
      takeConnection: () => this.#connections.take(),
      returnConnection: (connection) => this.#connections.giveBack(connection),
      eventOf,
      random: Math.random,
    })
    return follower.items()
  }

  /** Closes the connections. Running calls can still finish; new ones fail with `failed_precondition`. Idempotent. */
  close(): void {
    this.#connections.close()
  }

  async #waitingCall<Request, Answer>(
    rpc: Rpc<Request, Answer>,
    request: Request,
    options: CallOptions,
  ): Promise<Answer> {
    const connection = this.#connections.take()
    try {
      return await this.#callRpc(rpc, request, options, connection)
    } finally {
      this.#connections.giveBack(connection)
    }
  }

  async #callRpc<Request, Answer>(
    rpc: Rpc<Request, Answer>,
    request: Request,
    options: CallOptions,
    connection = this.#connections.first,
  ): Promise<Answer> {
    const decode = (bytes: Buffer) => decodeAnswer(rpc, bytes)
    return await this.#call(rpc.path, encodeRequest(rpc, request), decode, options, connection)
  }

  async #call<Response>(
    path: string,
    request: Buffer,
    decode: (bytes: Buffer) => Response,
    { deadlineMs = this.#deadlineMs, signal }: CallOptions,
    connection = this.#connections.first,
  ): Promise<Response> {
    return await resentCall(connection, { path, request, decode, deadlineMs, signal })
  }
}
