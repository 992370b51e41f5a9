// The package's only entry point: everything that a program can import from `millrace`.
//
// A producer, and each thread of an isolated handler, imports this file. The server is two thirds of what there is to
// load, so it is imported when one is started.

import type { Config } from './config/config.ts'
import type { RunningServer, ServerOptions } from './server/server-options.ts'

export type { HeartbeatInput, ListedAgent, ListedAgents } from './client/agent-client.ts'
export {
  type CallOptions,
  type Client,
  type ConnectOptions,
  connect,
  type GetReplyOptions,
  type ListAgentsOptions,
  type PublishEventsOptions,
  type WatchOptions,
} from './client/connect.ts'
export type { ClientFiles, UploadedFile, UploadFileOptions } from './client/files-client.ts'
export type { ClientKeys, KeyInput, ListKeysOptions } from './client/key-client.ts'
export type { LiveItem, SubscribeOptions } from './client/live-client.ts'
export type { PublisherRejection, PublisherTotals } from './client/publish-tally.ts'
export type { Publisher } from './client/publisher.ts'
export type { PublisherOptions } from './client/publisher-options.ts'
export type { ReceivedReply, RequestInput } from './client/request-client.ts'
export type { ClientTls } from './client/secure-context.ts'
export type { CloseOptions, RequestWorkOptions, Worker, WorkOptions } from './client/worker.ts'
export { type Config, loadConfig } from './config/config.ts'
export { type ErrorClass, type ErrorCode, errorCodes, MillraceError, type Taken } from './errors.ts'
export { EventIdGenerator } from './event/event.ts'
export type { EventInput } from './event/event-input.ts'
export { type EventParts, encodeBatch } from './event/record-batch.ts'
export type { TraceContext } from './event/trace-context.ts'
export type { FileDescription, UploadState } from './pipeline/files.ts'
export type { CreatedKey, KeyDescription, KeyPage, Scope } from './pipeline/keys.ts'
export type { GapReason, OnSlow } from './pipeline/live.ts'
export type {
  DeadLetterCount,
  DurationBucket,
  LandingStatements,
  LandingTotals,
  LogObservation,
  Observations,
  PublishedTotals,
  RecentEvents,
  StoreObservation,
  TypeCount,
} from './pipeline/observations.ts'
export type {
  GroupStatus,
  LedgerRow,
  Observed,
  Overflow,
  PublishMessage,
  PublishVerdict,
  Rejection,
  Status,
  TopicStatus,
} from './pipeline/pipeline.ts'
export type { Reply, RequestAnswer, RequestStage } from './pipeline/requests.ts'
export type { RunningServer, ServerOptions } from './server/server-options.ts'
export type { Logger } from './telemetry/logger.ts'
export type { CheckedKey } from './wire/keys.ts'
export {
  type AbortReason,
  type BatchHandlerOptions,
  type BatchOptions,
  type Dead,
  dead,
  defineHandler,
  type EventOutcome,
  type Handle,
  type HandleBatch,
  type HandleRequest,
  type HandlerContext,
  type HandlerDefinition,
  type HandlerModule,
  type HandlerOptions,
  type RequestHandlerOptions,
  type Retry,
  type RetryOptions,
  retry,
} from './workers/define-handler.ts'
export type { HandledEvent } from './workers/handled-event.ts'

/**
 * Starts a server and resolves once it accepts calls.
 * Errors: MillraceError whose message says what to do: `failed_precondition` (the data directory is in use or of a
 * newer version, or a port is in use), `corrupt` (the data directory is damaged), `unavailable` (it cannot be written).
 */
export async function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  const server = await import('./server/start-server.ts')
  return await server.startServer(config, options)
}
