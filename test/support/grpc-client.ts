// A raw gRPC client: generated messages over grpc-js.
//
// Deliberately independent of the product's own client. It sends whatever a test gives it, also invalid requests, and
// never resends. It returns the server's answers unchanged.

import type { TestContext } from 'node:test'
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { GetStatusRequestSchema, GetStatusResponseSchema, type Status } from '../../src/gen/millrace/v1/admin_pb.ts'
import type { EventSchema } from '../../src/gen/millrace/v1/event_pb.ts'
import {
  type Overflow,
  ProduceRequestSchema,
  type ProduceResponse,
  ProduceResponseSchema,
  PublishRequestSchema,
  type PublishResponse,
  PublishResponseSchema,
  PublishStreamRequestSchema,
  type PublishStreamResponse,
  PublishStreamResponseSchema,
} from '../../src/gen/millrace/v1/ingest_pb.ts'
import {
  SubscribeRequestSchema,
  type SubscribeResponse,
  SubscribeResponseSchema,
} from '../../src/gen/millrace/v1/live_pb.ts'
import {
  ConsumeRequestSchema,
  type ConsumeResponse,
  ConsumeResponseSchema,
  type Delivery,
} from '../../src/gen/millrace/v1/work_pb.ts'
import { cleanup } from './cleanup.ts'
import type { TestEvent } from './events.ts'

/** The fields common to all three publishing calls. */
export interface PublishFields {
  readonly events?: readonly TestEvent[]
  readonly topic?: string
  readonly overflow?: Overflow
}

export interface ProduceFields extends PublishFields {
  readonly producerId?: string
  /** Default 1. */
  readonly producerEpoch?: number
  readonly sequence?: number
}

export interface CallOptions {
  /** Longest wait for the answer in milliseconds; default 10,000. */
  readonly deadlineMs?: number
  readonly metadata?: grpc.Metadata
}

export const publishPath = '/millrace.v1.IngestService/Publish'
export const publishStreamPath = '/millrace.v1.IngestService/PublishStream'
export const producePath = '/millrace.v1.IngestService/Produce'
const consumePath = '/millrace.v1.WorkService/Consume'
const subscribePath = '/millrace.v1.LiveService/Subscribe'
const statusPath = '/millrace.v1.AdminService/GetStatus'

/** An open client stream, and the summary that ends it. */
export interface OpenPublishStream {
  readonly call: grpc.ClientWritableStream<Buffer>
  readonly summary: Promise<PublishStreamResponse>
  /** Sends one message; resolves when the transport has room for another. */
  send(fields: PublishFields): Promise<void>
}

export interface OpenProduce {
  readonly call: grpc.ClientDuplexStream<Buffer, ProduceResponse>
  /** The answers received so far. */
  readonly responses: ProduceResponse[]
  /** Resolves with the status that ended the call, OK included. */
  readonly ended: Promise<grpc.StatusObject>
  send(fields: ProduceFields): Promise<void>
}

export interface OpenConsume {
  readonly call: grpc.ClientDuplexStream<Buffer, ConsumeResponse>
  /** The deliveries received so far, and those that were revoked. */
  readonly deliveries: Delivery[]
  readonly revoked: { readonly delivery: number; readonly reason: number }[]
  /** Resolves with the first answer. */
  readonly joined: Promise<ConsumeResponse>
  /** Resolves with the status that ended the call, OK included. */
  readonly ended: Promise<grpc.StatusObject>
  /** Called with each delivery. */
  onDelivery: (delivery: Delivery) => void
  send(fields: MessageInitShape<typeof ConsumeRequestSchema>): void
}

export interface OpenSubscribe {
  readonly call: grpc.ClientReadableStream<SubscribeResponse>
  readonly metadata: Promise<grpc.Metadata>
  /** Resolves with the status that ended the call, OK included. */
  readonly ended: Promise<grpc.StatusObject>
}

const asIs = (bytes: Buffer): Buffer => bytes

export class RawGrpcClient {
  readonly #client: grpc.Client

  constructor(address: string, options: grpc.ChannelOptions = {}) {
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure(), {
      // A separate connection, so that a test that breaks it affects no other client.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_send_message_length': -1,
      'grpc.max_receive_message_length': -1,
      'grpc.initial_reconnect_backoff_ms': 100,
      ...options,
    })
  }

  publish(fields: PublishFields, options?: CallOptions): Promise<PublishResponse> {
    return this.publishBytes(encodePublish(fields), options)
  }

  /** Publishes bytes that need not be a valid message. */
  publishBytes(message: Buffer, options?: CallOptions): Promise<PublishResponse> {
    return this.#unary(publishPath, message, decoder(PublishResponseSchema), options)
  }

  /** grpc.health.v1: the number of the serving status; 1 is SERVING, 2 NOT_SERVING. */
  health(service = ''): Promise<number> {
    const name = Buffer.from(service)
    const request = Buffer.concat([Buffer.of(0x0a, name.length), name])
    return this.#unary('/grpc.health.v1.Health/Check', request, (response) => response[1] ?? 0)
  }

  async status(): Promise<Status> {
    const request = encode(GetStatusRequestSchema, {})
    const { status } = await this.#unary(statusPath, request, decoder(GetStatusResponseSchema))
    if (status === undefined) throw new Error('the status was empty')
    return status
  }

  /** Opens a client stream. Its summary must be awaited or its rejection handled by the caller. */
  publishStream(options: CallOptions = {}): OpenPublishStream {
    let call: grpc.ClientWritableStream<Buffer> | undefined
    const summary = new Promise<PublishStreamResponse>((resolve, reject) => {
      call = this.#client.makeClientStreamRequest(
        publishStreamPath,
        asIs,
        decoder(PublishStreamResponseSchema),
        options.metadata ?? new grpc.Metadata(),
        { deadline: deadlineOf(options, 120_000) },
        (error, value) => (value === undefined ? reject(error) : resolve(value)),
      )
    })
    summary.catch(() => {})
    const opened = call as unknown as grpc.ClientWritableStream<Buffer>
    opened.on('error', () => {})
    return {
      call: opened,
      summary,
      send: (fields) => write(opened, encode(PublishStreamRequestSchema, initOf(fields))),
    }
  }

  produce(options: CallOptions = {}): OpenProduce {
    const call = this.#client.makeBidiStreamRequest(
      producePath,
      asIs,
      decoder(ProduceResponseSchema),
      options.metadata ?? new grpc.Metadata(),
      { deadline: deadlineOf(options, 120_000) },
    )
    const responses: ProduceResponse[] = []
    call.on('data', (response: ProduceResponse) => responses.push(response))
    call.on('error', () => {})
    const ended = new Promise<grpc.StatusObject>((resolve) => call.on('status', resolve))
    const send = ({ producerId = '', producerEpoch = 1, sequence = 0, ...fields }: ProduceFields): Promise<void> => {
      const numbers = { producerEpoch: BigInt(producerEpoch), sequence: BigInt(sequence) }
      return write(call, encode(ProduceRequestSchema, { ...initOf(fields), producerId, ...numbers }))
    }
    return { call, responses, ended, send }
  }

  consume(): OpenConsume {
    const decode = decoder(ConsumeResponseSchema)
    const call = this.#client.makeBidiStreamRequest(consumePath, asIs, decode, new grpc.Metadata())
    call.on('error', () => {})
    const joined = Promise.withResolvers<ConsumeResponse>()
    const opened: OpenConsume = {
      ...{ call, deliveries: [], revoked: [], joined: joined.promise, onDelivery: () => {} },
      ended: new Promise((resolve) => call.on('status', resolve)),
      send: (fields) => void call.write(encode(ConsumeRequestSchema, fields)),
    }
    call.on('data', (response: ConsumeResponse) => {
      if (response.joined !== undefined) joined.resolve(response)
      for (const { delivery, reason } of response.revoke) opened.revoked.push({ delivery: Number(delivery), reason })
      for (const delivery of response.deliveries) {
        opened.deliveries.push(delivery)
        opened.onDelivery(delivery)
      }
    })
    return opened
  }

  /** At most 16 messages are read before `call.resume()` or a listener of `data`. */
  subscribe(fields: MessageInitShape<typeof SubscribeRequestSchema>, deadlineMs?: number): OpenSubscribe {
    const decode = decoder(SubscribeResponseSchema)
    const request = encode(SubscribeRequestSchema, fields)
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs }
    const call = this.#client.makeServerStreamRequest(
      ...([subscribePath, asIs, decode, request, new grpc.Metadata(), options] as const),
    )
    call.on('error', () => {})
    // Before the first read grpc-js would take all that the server sends.
    call.read(0)
    return {
      call,
      metadata: new Promise((resolve) => call.on('metadata', resolve)),
      ended: new Promise((resolve) => call.on('status', resolve)),
    }
  }

  close(): void {
    this.#client.close()
  }

  #unary<T>(path: string, request: Buffer, decode: (bytes: Buffer) => T, options: CallOptions = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        asIs,
        decode,
        request,
        options.metadata ?? new grpc.Metadata(),
        { deadline: deadlineOf(options, 10_000) },
        (error, value) => (value === undefined ? reject(error) : resolve(value)),
      )
    })
  }
}

/** A client of this server, closed when the test ends. */
export function grpcClient(t: TestContext, server: { readonly grpc: string }): RawGrpcClient {
  const client = new RawGrpcClient(server.grpc)
  cleanup(t, () => client.close())
  return client
}

/** The bytes of a PublishRequest. */
export function encodePublish(fields: PublishFields): Buffer {
  return encode(PublishRequestSchema, initOf(fields))
}

function initOf(fields: PublishFields) {
  const events = (fields.events ?? []) as MessageInitShape<typeof EventSchema>[]
  return { events, topic: fields.topic ?? '', overflow: fields.overflow ?? 0 }
}

function encode<S extends DescMessage>(schema: S, init: MessageInitShape<S>): Buffer {
  return Buffer.from(toBinary(schema, create(schema, init)))
}

function decoder<S extends DescMessage>(schema: S): (bytes: Buffer) => MessageShape<S> {
  return (bytes) => fromBinary(schema, bytes)
}

function deadlineOf(options: CallOptions, usualMs: number): number {
  return Date.now() + (options.deadlineMs ?? usualMs)
}

/** Writes and waits until the transport accepts more, as a well-behaved producer does, or until the call ends. */
function write(
  call: grpc.ClientWritableStream<Buffer> | grpc.ClientDuplexStream<Buffer, unknown>,
  message: Buffer,
): Promise<void> {
  if (call.writable && call.write(message)) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done)
      call.off('close', done)
      call.off('error', done)
      resolve()
    }
    if (!call.writable) resolve()
    call.on('drain', done)
    call.on('close', done)
    call.on('error', done)
  })
}
