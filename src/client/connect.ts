// A client of Millrace: what a pipeline can do, over gRPC.
//
// Not its job: a flow of events with resends (publisher.ts). A call here is made once, unless a server that is stopping has
// turned it away unread; whether to make it again after anything else is the caller's to decide, from the error.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Client as GrpcClient } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'
import { defaultTopic } from '../event/event.ts'
import { BatchBuilder } from '../event/record-batch.ts'
import { GetStatusResponseSchema } from '../gen/millrace/v1/admin_pb.ts'
import { PublishRequestSchema, PublishResponseSchema } from '../gen/millrace/v1/ingest_pb.ts'
import type { Administration } from '../pipeline/administration.ts'
import { watchIntervalMs } from '../pipeline/observations.ts'
import type { Observed, Overflow, Pipeline, PublishMessage, PublishVerdict, Status } from '../pipeline/pipeline.ts'
import { AdministrationClient } from './administration-client.ts'
import { type EventInput, EventStamper } from './event-input.ts'
import { wasTurnedAway } from './grpc-errors.ts'
import { observedOfWire } from './observed-of-wire.ts'
import { Publisher } from './publisher.ts'
import type { PublisherOptions } from './publisher-options.ts'
import { ServerConnection } from './server-connection.ts'
import { statusOfWire } from './status-of-wire.ts'
import { inTime, unaryCall } from './unary-call.ts'
import { watchCall } from './watch-call.ts'
import { durabilityOfNumber, overflowOnWire, rejectionOfWire } from './wire-values.ts'

/** Servers that are stopping may follow upon each other; more than so many for one call are no coincidence. */
const maxRefusals = 3

export interface ConnectOptions {
  /**
   * Where servers listen for gRPC, `host:port`, tried in turn; or a function that says so anew at each attempt. Default
   * `127.0.0.1:50051`.
   */
  readonly addresses?: readonly string[] | (() => readonly string[])
  /** Longest wait of one call for its answer, connecting included, in milliseconds. Default 30,000. */
  readonly deadlineMs?: number
  /** Longest wait for one address to answer, in milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number
}

export interface CallOptions {
  /** Longest wait for the answer, in milliseconds. Default: that of the client. */
  readonly deadlineMs?: number
  /** Ends the wait; the outcome of the call is then unknown. */
  readonly signal?: AbortSignal
}

export interface WatchOptions {
  /** From one answer to the next, in milliseconds: 200 to 60,000. Default 1,000. */
  readonly intervalMs?: number
  /** A server that says nothing for so long, beyond the interval, is given up, in milliseconds. Default 10,000. */
  readonly maxSilenceMs?: number
  /** Ends the watch without an error. */
  readonly signal?: AbortSignal
}

export interface PublishEventsOptions extends CallOptions {
  /** A declared topic. Default `events`. */
  readonly topic?: string
  /** What becomes of events for which there is no room. Default `reject`; `wait` waits up to 10 s, then as `reject`. */
  readonly overflow?: Overflow
}

/**
 * Connects to a Millrace server when the first call is made, and again when the connection was lost.
 *
 * ```ts
 * const client = connect({ addresses: ['127.0.0.1:50051'] })
 * const verdict = await client.publishEvents([{ type: 'order.placed', data: { n: 1 } }])
 * client.close()
 * ```
 */
export function connect(options: ConnectOptions = {}): Client {
  return new Client(options)
}

/** What `connect` gives: the parts of the pipeline that are on gRPC. Listing events is on HTTP only, GET /v1/events. */
export class Client implements Pick<Pipeline, 'publish' | 'status' | 'administration'> {
  /** Journeys of events, dead letters, redrive and replay. */
  readonly administration: Administration
  readonly #connection: ServerConnection
  readonly #deadlineMs: number
  readonly #stamper = new EventStamper(Date.now)

  /** Use `connect()`. */
  constructor({ addresses = ['127.0.0.1:50051'], deadlineMs = 30_000, connectTimeoutMs = 5000 }: ConnectOptions) {
    this.#deadlineMs = deadlineMs
    this.#connection = new ServerConnection({
      addresses: typeof addresses === 'function' ? addresses : () => addresses,
      connectTimeoutMs,
    })
    this.administration = new AdministrationClient((method, request, decode, work) =>
      this.#call(method, request, decode, work.signal === undefined ? {} : { signal: work.signal }),
    )
  }

  /**
   * Publishes events as one record batch and waits for the server's verdict.
   *
   * @param events 1 to 100,000 events of one topic, 4 MiB together. One without an id gets a UUIDv7, one without a time
   *   that of now. To be able to publish them again without making new events of them, give them ids.
   * @returns Accepted and dropped counts, the durability reached, and one rejection (index, id, code, message, retry
   *   hint) for each event that was not taken.
   * @throws MillraceError When no event was accepted or dropped: `backlogged` or `disk_full` (retry after
   *   `retryAfterMs`), else the code of the first rejection. Nothing was taken then. `unavailable`, `deadline_exceeded`,
   *   `cancelled`, `internal`: the outcome is unknown; publish again with the same ids.
   */
  publishEvents(events: Iterable<EventInput>, options: PublishEventsOptions = {}): Promise<PublishVerdict> {
    const builder = new BatchBuilder()
    for (const event of events) builder.add(this.#stamper.stamp(event))
    const { topic = defaultTopic, overflow = 'reject' } = options
    return this.publish({ topic, overflow, message: builder.take() }, options)
  }

  /**
   * Publishes one encoded message, see Pipeline. As `publishEvents`, for events that are encoded already (`encodeBatch`).
   * How long overflow `wait` waits is the server's to say: at most 10 s.
   *
   * @throws MillraceError as publishEvents. `unimplemented` for a message with a producer's sequence: that is what
   *   `publisher()` is for.
   */
  async publish(message: PublishMessage, options: CallOptions = {}): Promise<PublishVerdict> {
    if (message.producer !== undefined) {
      throw new MillraceError('unimplemented', 'Publish takes no numbered messages; use client.publisher()', {
        field: 'producer',
      })
    }
    const envelope = toBinary(
      PublishRequestSchema,
      create(PublishRequestSchema, { topic: message.topic, overflow: overflowOnWire[message.overflow] }),
    )
    const request = Buffer.concat([message.message, envelope])
    const decode = (bytes: Buffer) => fromBinary(PublishResponseSchema, bytes)
    const response = await this.#call('millrace.v1.IngestService/Publish', request, decode, options)
    return {
      accepted: Number(response.accepted),
      dropped: Number(response.dropped),
      rejections: response.rejections.map(rejectionOfWire),
      durability: durabilityOfNumber(response.durability),
    }
  }

  /**
   * Tells how the server is and where the events are. A value that is not known is null, never 0.
   *
   * @throws MillraceError `unavailable`, `deadline_exceeded`: safe to ask again.
   */
  async status(options: CallOptions = {}): Promise<Status> {
    const decode = (bytes: Buffer) => fromBinary(GetStatusResponseSchema, bytes)
    return statusOfWire(await this.#call('millrace.v1.AdminService/GetStatus', Buffer.alloc(0), decode, options))
  }

  /**
   * Tells the status again and again, with totals from which a watcher computes rates (`Observations`), until the loop over
   * it ends or the signal aborts. One call to one server: it does not connect again by itself.
   *
   * @throws MillraceError `invalid_event` (the interval), `unavailable`, `draining` (the server is gone or silent, or its log is):
   *   safe to watch again.
   */
  async *watchStatus({
    intervalMs = watchIntervalMs.default,
    maxSilenceMs = 10_000,
    signal,
  }: WatchOptions = {}): AsyncGenerator<Observed, void, undefined> {
    const client = await this.#connection.open()
    try {
      const options = { intervalMs, maxSilenceMs: intervalMs + maxSilenceMs, signal }
      for await (const response of watchCall(client, options)) yield observedOfWire(response)
    } catch (error) {
      this.#dropAfter(client, error)
      throw error
    }
  }

  /**
   * Starts a flow of events; see Publisher. The client must stay open until the publisher is closed.
   *
   * @throws MillraceError `invalid_event`: an option is out of its range.
   */
  publisher(options: PublisherOptions = {}): Publisher {
    return new Publisher(this.#connection, options, {
      now: Date.now,
      monotonicNow: () => performance.now(),
      random: Math.random,
    })
  }

  /** Lets go of the connection. Calls that run may still end; new ones are refused as `failed_precondition`. Idempotent. */
  close(): void {
    this.#connection.close()
  }

  async #call<Response>(
    method: string,
    request: Buffer,
    decode: (bytes: Buffer) => Response,
    { deadlineMs = this.#deadlineMs, signal }: CallOptions,
  ): Promise<Response> {
    const limits = { deadline: Date.now() + deadlineMs, signal }
    for (let refusals = 0; ; refusals++) {
      const client = await inTime(this.#connection.open(), limits)
      try {
        return await unaryCall(client, method, request, decode, limits)
      } catch (error) {
        this.#dropAfter(client, error)
        if (!wasTurnedAway(error) || refusals === maxRefusals) throw error
      }
    }
  }

  /** Perhaps the next address has a server that answers. */
  #dropAfter(client: GrpcClient, error: unknown): void {
    if (error instanceof MillraceError && (error.code === 'unavailable' || error.code === 'draining')) {
      this.#connection.drop(client)
    }
  }
}
