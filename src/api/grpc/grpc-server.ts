// The gRPC server: its services, the limits of its connections, and its shutdown.

import type { DescService } from '@bufbuild/protobuf'
import { Server, type ServerInterceptor, type UntypedServiceImplementation } from '@grpc/grpc-js'
import { isLoopback } from '../../config/config.ts'
import { limits } from '../../event/event.ts'
import { AdminService, file_millrace_v1_admin } from '../../gen/millrace/v1/admin_pb.ts'
import { AgentService, file_millrace_v1_agent } from '../../gen/millrace/v1/agent_pb.ts'
import { FileService, file_millrace_v1_file } from '../../gen/millrace/v1/file_pb.ts'
import { file_millrace_v1_ingest, IngestService } from '../../gen/millrace/v1/ingest_pb.ts'
import { file_millrace_v1_key, KeyService } from '../../gen/millrace/v1/key_pb.ts'
import { file_millrace_v1_live, LiveService } from '../../gen/millrace/v1/live_pb.ts'
import { file_millrace_v1_request, RequestService } from '../../gen/millrace/v1/request_pb.ts'
import { file_millrace_v1_work, WorkService } from '../../gen/millrace/v1/work_pb.ts'
import type { Pipeline } from '../../pipeline/pipeline.ts'
import type { Health } from '../../telemetry/health.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { Access, type AccessControl } from '../access.ts'
import type { ConnectionLimits } from '../connection-limits.ts'
import { InflateBudget } from '../inflate-budget.ts'
import { listen } from '../listen.ts'
import { OpenCalls } from '../open-calls.ts'
import type { RunningServer } from '../running-server.ts'
import { needOf } from '../scopes.ts'
import type { ServerCertificate } from '../server-certificate.ts'
import { UnansweredBytes } from '../unanswered-bytes.ts'
import { adminHandlers } from './admin-service.ts'
import { agentHandlers } from './agent-service.ts'
import { GrpcConnections } from './connections.ts'
import { consumeHandler } from './consume.ts'
import { fileHandlers } from './file-service.ts'
import { GuardedCall } from './guarded-call.ts'
import { addHealth } from './health-service.ts'
import { IntakeCall, type MakeAnswers } from './intake-call.ts'
import { keyHandlers } from './key-service.ts'
import { FrameEncoder, liveHandlers } from './live-service.ts'
import { type Callers, perCaller } from './per-caller.ts'
import { ProduceAnswers } from './produce.ts'
import { publishHandler } from './publish.ts'
import { PublishStreamAnswers } from './publish-stream.ts'
import { addReflection } from './reflection.ts'
import { requestHandlers } from './request-service.ts'
import { pathOf, serviceDefinitionOf } from './service-definition.ts'
import type { IntakeParts } from './stream-intake.ts'
import { UploadCall } from './upload.ts'

export interface GrpcServerOptions {
  readonly pipeline: Pipeline
  /** Default: callers need no key. */
  readonly access?: AccessControl
  readonly health: Health
  readonly metrics: Metrics
  readonly logger: Logger
  readonly host: string
  readonly port: number
  readonly connectionLimits: ConnectionLimits
  /** Shared with HTTP. Default: one of its own. */
  readonly inflateBudget?: InflateBudget
  /** Default null: no TLS. */
  readonly certificate?: ServerCertificate | null
  /** How long a connection may be open without a request; 10,000 by default. */
  readonly maxSilentMs?: number
  /** Deadline of unary calls whose client set none; 30,000 by default. */
  readonly defaultDeadlineMs?: number
}

const grpcOptions = {
  'grpc.max_receive_message_length': limits.maxMessageBytes,
  'grpc.max_concurrent_streams': 100,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_connection_idle_ms': 300_000,
  // In megabytes. Without it grpc-js removes Node's own limit.
  'grpc-node.max_session_memory': 64,
  // Nothing reads channelz, and it records every call.
  'grpc.enable_channelz': 0,
}

/** Limit for all streams together. */
const maxUnansweredBytes = 64 * 1024 * 1024

export async function startGrpcServer(options: GrpcServerOptions): Promise<RunningServer> {
  const { pipeline, health, metrics, logger, host, port, connectionLimits } = options
  const { maxSilentMs = 10_000, defaultDeadlineMs = 30_000, certificate = null } = options
  const { access = new Access(pipeline, false), inflateBudget = new InflateBudget() } = options
  const callers: Callers = new WeakMap()
  const openCalls = new OpenCalls()
  const publishDuration = metrics.publishDuration.with({ transport: 'grpc' })
  const intakeParts: IntakeParts = {
    unansweredBytes: new UnansweredBytes(maxUnansweredBytes),
    publishDuration,
  }
  const guardParts = {
    metrics,
    logger,
    openCalls,
    access,
    callers,
    defaultDeadlineMs,
    inflateBudget,
    persistence: () => pipeline.persistence(),
    noteAnswer: (peer: string) => connections.noteAnswer(peer),
  }
  const guard: ServerInterceptor = (definition, call) => {
    const makeAnswers = streamAnswers.get(definition.path)
    const guarded = new GuardedCall(call, definition, guardParts, endAfterMsOf(definition.path))
    if (definition.path === uploadPath) return new UploadCall(guarded, openCalls, defaultDeadlineMs)
    return makeAnswers === undefined ? guarded : new IntakeCall(guarded, openCalls, intakeParts, makeAnswers)
  }

  const server = new Server({ ...grpcOptions, interceptors: [guard] })
  const addService = (
    service: DescService,
    handlersOf: (pipeline: Pipeline) => UntypedServiceImplementation,
    rawMethods: readonly string[] = [],
  ) => {
    server.addService(serviceDefinitionOf(service, rawMethods), perCaller(callers, pipeline, handlersOf))
    for (const { name } of service.methods) needOf(pathOf(service, name))
  }
  const publishHandlers = (each: Pipeline) => ({ publish: publishHandler(each, publishDuration) })
  addService(IngestService, publishHandlers, ['Publish', 'PublishStream', 'Produce'])
  addService(WorkService, (each) => ({ consume: consumeHandler(each, openCalls) }), ['Consume'])
  addService(RequestService, (each) => requestHandlers(each.requests))
  addService(AgentService, (each) => agentHandlers(each.agents))
  addService(FileService, (each) => fileHandlers(each.files), ['Upload'])
  const frames = new FrameEncoder()
  addService(LiveService, (each) => liveHandlers(each.live, frames), ['Subscribe'])
  addService(AdminService, adminHandlers)
  addService(KeyService, (each) => keyHandlers(each.keys))
  const services = [
    IngestService,
    WorkService,
    RequestService,
    FileService,
    AgentService,
    LiveService,
    AdminService,
    KeyService,
  ].map(({ typeName }) => typeName)
  const stopFollowing = addHealth(server, health, services)
  if (isLoopback(host)) {
    const event = [file_millrace_v1_ingest, file_millrace_v1_work, file_millrace_v1_request]
    addReflection(server, [
      ...event,
      file_millrace_v1_file,
      file_millrace_v1_agent,
      file_millrace_v1_live,
      file_millrace_v1_admin,
      file_millrace_v1_key,
    ])
  }

  const open = metrics.openConnections.with({ transport: 'grpc' })
  const connections = new GrpcConnections(server, { limits: connectionLimits, open, maxSilentMs, certificate, logger })
  const address = await listen(connections.listener, { host, port, variable: 'MILLRACE_GRPC_PORT', logger })
  return {
    address,
    drain: async (deadlineMs) => {
      const allClosed = connections.stopListening()
      openCalls.drain()
      // Sends GOAWAY to every connection. The callback is not used: it is never called when a session is being
      // destroyed.
      server.tryShutdown(() => {})
      const forced = setTimeout(() => connections.destroyAll(), deadlineMs)
      await allClosed
      clearTimeout(forced)
      server.forceShutdown()
      stopFollowing()
    },
  }
}

const uploadPath = pathOf(FileService, 'Upload')
const subscribePath = pathOf(LiveService, 'Subscribe')

/** How long a subscriber has to take what waits for it when the server stops. */
const lastFramesMs = 1000

/** Streams that go on while the server stops. */
const ownEnds = new Set([pathOf(WorkService, 'Consume'), pathOf(FileService, 'Download'), uploadPath])

/** The two streams that are read without grpc-js's stream objects (intake-call.ts). */
const streamAnswers = new Map<string, MakeAnswers>([
  [pathOf(IngestService, 'PublishStream'), (call) => new PublishStreamAnswers(call)],
  [pathOf(IngestService, 'Produce'), (call, readMore) => new ProduceAnswers(call, readMore)],
])

/** How long a stream may go on when the server stops; null: another object ends it. */
function endAfterMsOf(path: string): number | null {
  if (streamAnswers.has(path) || ownEnds.has(path)) return null
  return path === subscribePath ? lastFramesMs : 0
}
