// A real server on a free port with a MemoryPipeline, and a stock grpc-js client that sends raw bytes.

import type { TestContext } from 'node:test'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { anyUnpack } from '@bufbuild/protobuf/wkt'
import {
  type CallOptions,
  type ClientDuplexStream,
  type ClientWritableStream,
  credentials,
  Metadata,
  makeGenericClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js'
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { StatusSchema } from '../../gen/google/rpc/status_pb.ts'
import { AdminService } from '../../gen/millrace/v1/admin_pb.ts'
import {
  IngestService,
  ProduceRequestSchema as Produce,
  type ProduceRequestSchema,
  type ProduceResponse,
  PublishRequestSchema as Publish,
  type PublishRequestSchema,
  type PublishResponse,
  type PublishStreamResponse,
  PublishStreamResponseSchema,
} from '../../gen/millrace/v1/ingest_pb.ts'
import { Health } from '../../telemetry/health.ts'
import { createLogger } from '../../telemetry/logger.ts'
import { createMetrics, type Metrics } from '../../telemetry/metrics.ts'
import { ConnectionLimits } from '../connection-limits.ts'
import { LinesWritten } from '../lines-written.test-support.ts'
import { MemoryPipeline } from '../memory-pipeline.test-support.ts'
import { type GrpcServerOptions, startGrpcServer } from './grpc-server.ts'
import { serviceDefinitionOf } from './service-definition.ts'

type Answer<Response> = (error: ServiceError | null, response?: Response) => void

/** The methods that the tests call; every request is given as bytes. */
export interface RawClient {
  publish(message: Buffer, metadata: Metadata, options: CallOptions, answer: Answer<PublishResponse>): void
  publishStream(
    metadata: Metadata,
    options: CallOptions,
    answer: Answer<PublishStreamResponse>,
  ): ClientWritableStream<Buffer>
  produce(metadata?: Metadata, options?: CallOptions): ClientDuplexStream<Buffer, ProduceResponse>
  close(): void
}

const allRaw = ['Publish', 'PublishStream', 'Produce']

export function rawClient(
  address: string,
  options: Record<string, number> = {},
  channelCredentials = credentials.createInsecure(),
): RawClient {
  const definition = Object.fromEntries(
    Object.entries({ ...serviceDefinitionOf(IngestService, allRaw), ...serviceDefinitionOf(AdminService) }).map(
      ([name, method]) => [name, { ...method, requestSerialize: (bytes: Buffer) => bytes }],
    ),
  )
  const Client = makeGenericClientConstructor(definition, 'raw')
  return new Client(address, channelCredentials, {
    'grpc.use_local_subchannel_pool': 1,
    ...options,
  }) as unknown as RawClient
}

export interface TestServer {
  readonly address: string
  readonly port: number
  readonly pipeline: MemoryPipeline
  readonly health: Health
  readonly metrics: Metrics
  readonly log: LinesWritten
  readonly client: RawClient
  drain(deadlineMs: number): Promise<void>
}

export async function startTestServer(t: TestContext, options: Partial<GrpcServerOptions> = {}): Promise<TestServer> {
  const pipeline = new MemoryPipeline()
  const health = new Health([])
  const metrics = createMetrics()
  const log = new LinesWritten()
  const server = await startGrpcServer({
    pipeline,
    health,
    metrics,
    logger: createLogger({ level: 'debug', version: 'test', destination: log }),
    host: '127.0.0.1',
    port: 0,
    connectionLimits: new ConnectionLimits(),
    ...options,
  })
  const client = rawClient(server.address)
  t.after(async () => {
    client.close()
    pipeline.release()
    await server.drain(0)
    metrics.close()
  })
  const port = Number(server.address.slice(server.address.lastIndexOf(':') + 1))
  return { address: server.address, port, pipeline, health, metrics, log, client, drain: server.drain }
}

export function publishMessage(init: MessageInitShape<typeof PublishRequestSchema>): Buffer {
  return Buffer.from(toBinary(Publish, create(Publish, init)))
}

export function produceMessage(init: MessageInitShape<typeof ProduceRequestSchema>): Buffer {
  return Buffer.from(toBinary(Produce, create(Produce, init)))
}

export function publish(
  client: RawClient,
  message: Buffer,
  { metadata = new Metadata(), ...options }: CallOptions & { metadata?: Metadata } = {},
): Promise<PublishResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<PublishResponse>()
  client.publish(message, metadata, options, (error, response) => (error ? reject(error) : resolve(response!)))
  return promise
}

export function openPublishStream(client: RawClient, options: CallOptions = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<PublishStreamResponse>()
  const call = client.publishStream(new Metadata(), options, (error, response) =>
    error ? reject(error) : resolve(response!),
  )
  return { call, summary: promise }
}

/** The decoded details in the trailers of a failed call. */
export function detailsOf(error: ServiceError) {
  const [bytes] = error.metadata.get('grpc-status-details-bin')
  const status = fromBinary(StatusSchema, bytes as Buffer)
  const unpack = <Schema extends Parameters<typeof anyUnpack>[1]>(schema: Schema) =>
    status.details.map((detail) => anyUnpack(detail, schema)).find((found) => found !== undefined)
  const [pushback] = error.metadata.get('grpc-retry-pushback-ms')
  return {
    byteLength: (bytes as Buffer).length,
    status,
    errorInfo: unpack(ErrorInfoSchema),
    badRequest: unpack(BadRequestSchema),
    retryInfo: unpack(RetryInfoSchema),
    summary: unpack(PublishStreamResponseSchema),
    pushback: pushback?.toString(),
  }
}

/** The error that a promise rejects with; fails when it resolves. */
export async function failureOf(promise: Promise<unknown>): Promise<ServiceError> {
  try {
    await promise
  } catch (error) {
    return error as ServiceError
  }
  throw new Error('the call was expected to fail')
}
