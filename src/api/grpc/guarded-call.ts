// A guard around every gRPC call.
//
// Job: refuse unknown encodings, and calls that the caller's key does not allow, when metadata arrives and before a message is
// read; give unary calls a deadline, count calls and log failed ones; end long-lived streams when the server stops or their
// key ends.
// Not its job: what a call does (publish.ts and its neighbours).

import { constants, type ServerHttp2Stream } from 'node:http2'
import {
  Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerMethodDefinition,
} from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../../errors.ts'
import { limits } from '../../event/event.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { traceFields } from '../../telemetry/trace-context.ts'
import { type AccessControl, type Caller, endedKey, endedKeyGraceMs } from '../access.ts'
import type { InflateBudget } from '../inflate-budget.ts'
import type { OpenCall, OpenCalls } from '../open-calls.ts'
import { requestIdOf } from '../request-context.ts'
import { type Need, needs } from '../scopes.ts'
import { codeOfGrpcStatus, type GrpcStatusName, grpcStatus, grpcStatusNameOf } from '../status.ts'
import { CompressedMessages, messageEncodings } from './compressed-messages.ts'
import { refusedEncodingHeader } from './connections.ts'
import type { Callers } from './per-caller.ts'
import { FailureMetadata, richStatusOf } from './rich-status.ts'

/** Timers use another clock than Date.now() and can fire a millisecond early by it. */
const timerLeadMs = 2

const requestIdKey = 'x-request-id'

const ingestMethods = 'millrace.v1.IngestService/'

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0]
type Status = Parameters<ServerInterceptingCallInterface['sendStatus']>[0]

export interface CallGuardParts {
  readonly metrics: Metrics
  readonly logger: Logger
  readonly openCalls: OpenCalls
  readonly access: AccessControl
  /** Gets the caller of each call. */
  readonly callers: Callers
  /** Called when a call sends an answer to its peer. */
  readonly noteAnswer: (peer: string) => void
  /** The log's own persistence, sent to producers in the metadata of answers. */
  readonly persistence: () => string
  /** Deadline of unary calls whose client set none. */
  readonly defaultDeadlineMs: number
  readonly inflateBudget: InflateBudget
}

/** What grpc-js keeps private and this guard replaces. Its version is pinned. */
interface Inflating {
  readonly incomingEncoding: string
  decompressMessage(message: Buffer, encoding: string): Promise<Buffer>
}

/** A call of grpc-js keeps the bytes of its last message, also while it waits for long. In a stream they may be of the next one. */
function releaseReceived(call: ServerInterceptingCallInterface): void {
  const { decoder } = call as { readonly decoder?: { readPartialMessage: readonly Uint8Array[] } }
  if (decoder !== undefined) decoder.readPartialMessage = []
}

export class GuardedCall extends ServerInterceptingCall implements OpenCall {
  readonly #call: ServerInterceptingCallInterface
  readonly #parts: CallGuardParts
  /** `millrace.v1.IngestService/Publish` */
  readonly #method: string
  readonly #isStream: boolean
  readonly #endAfterMs: number | null
  readonly #peer: string
  readonly #startedAt = performance.now()
  #metadata = new Metadata()
  #timer: NodeJS.Timeout | undefined
  #ended = false
  #hasSentMetadata = false
  #ownRequestId: string | undefined
  readonly #need: Need
  /** Known when metadata has arrived. */
  caller: Caller | null = null
  #stopListening = (): void => {}
  readonly #sendStatus: (status: Status) => void
  /** Null: the call has no compressed messages. */
  readonly #compressed: CompressedMessages | null
  /** Called when grpc-js has refused a message over its limit. It must end the call. */
  onRefusedMessage = (failure: MillraceError): void => this.sendStatus(richStatusOf(failure))
  /** Called when the key of a stream has ended. It should end the call. */
  onEndedKey = (failure: MillraceError): void => this.sendStatus(richStatusOf(failure))

  /**
   * @param endAfterMs 0 or more, see endAfterMsOf in grpc-server.ts.
   */
  constructor(
    call: ServerInterceptingCallInterface,
    definition: ServerMethodDefinition<unknown, unknown>,
    parts: CallGuardParts,
    endAfterMs: number | null,
  ) {
    super(call)
    this.#call = call
    this.#parts = parts
    this.#method = definition.path.slice(1)
    this.#isStream = definition.requestStream || definition.responseStream
    this.#endAfterMs = endAfterMs
    // An rpc that is not there is answered as such.
    this.#need = needs.get(definition.path) ?? 'open'
    this.#peer = call.getPeer()
    this.#compressed = compressedMessagesOf(call, parts.inflateBudget)
    this.#sendStatus = call.sendStatus.bind(call)
    // grpc-js ends calls by itself through this method of its own object.
    call.sendStatus = (status) => this.#onOwnStatus(status)
  }

  override start(listener: Listener): void {
    this.#call.start({
      onReceiveMetadata: (metadata) => {
        this.#metadata = metadata
        if (!this.#refuseCompression()) this.#authorize(metadata, listener)
      },
      onReceiveMessage: (message) => {
        if (!this.#isStream) releaseReceived(this.#call)
        this.#compressed?.handOn()
        listener.onReceiveMessage(message)
        // A stream bounds by itself what it has not answered.
        if (this.#isStream) this.#compressed?.release()
      },
      onReceiveHalfClose: () => listener.onReceiveHalfClose(),
      // grpc-js calls this at every end of a call, also after success.
      onCancel: () => {
        this.#end(this.#endedByItself(), null)
        // Before that grpc-js has no stream to cancel.
        if (this.caller !== null) listener.onCancel()
      },
    })
    if (this.#isStream) {
      if (this.#endAfterMs !== null) this.#parts.openCalls.add(this)
    } else if (this.#call.getDeadline() === Number.POSITIVE_INFINITY) {
      this.#setDeadline()
    }
  }

  override sendMessage(message: unknown, callback: () => void): void {
    this.#parts.noteAnswer(this.#peer)
    if (!this.#hasSentMetadata) this.sendMetadata(new Metadata())
    this.#call.sendMessage(message, callback)
  }

  override sendMetadata(metadata: Metadata): void {
    this.#hasSentMetadata = true
    if (this.#method.startsWith(ingestMethods)) metadata.set('millrace-persistence', this.#parts.persistence())
    if (this.#metadata.get(requestIdKey).length > 0) metadata.set(requestIdKey, this.#requestId())
    this.#call.sendMetadata(metadata)
  }

  override sendStatus(status: Status): void {
    this.#parts.noteAnswer(this.#peer)
    const { metadata } = status
    this.#end(status, metadata instanceof FailureMetadata ? metadata.failure : null)
    if (metadata instanceof FailureMetadata) metadata.set(requestIdKey, this.#requestId())
    this.#sendStatus(status)
  }

  drain(): void {
    if (this.#endAfterMs === 0) this.#endAsDraining()
    else
      this.#timer = setTimeout(() => {
        this.#endAsDraining()
        // The status would wait for one who does not read.
        streamOf(this.#call).close(constants.NGHTTP2_CANCEL)
      }, this.#endAfterMs!)
  }

  #endAsDraining(): void {
    this.sendStatus(richStatusOf(new MillraceError('draining', 'the server is stopping: reconnect')))
  }

  #authorize(metadata: Metadata, listener: Listener): void {
    const [authorization] = metadata.get('authorization')
    metadata.remove('authorization')
    const fail = (thrown: unknown) => {
      if (!this.#ended) this.sendStatus(richStatusOf(toMillraceError(thrown)))
    }
    try {
      const caller = this.#parts.access.authorize(authorization?.toString(), this.#need)
      if (caller instanceof Promise) caller.then((found) => this.#admit(found, metadata, listener)).catch(fail)
      else this.#admit(caller, metadata, listener)
    } catch (thrown) {
      fail(thrown)
    }
  }

  #admit(caller: Caller, metadata: Metadata, listener: Listener): void {
    if (this.#ended) return
    this.caller = caller
    this.#parts.callers.set(metadata, caller)
    if (this.#isStream) this.#stopListening = this.#parts.access.onEnded(caller, () => this.#endWithKey())
    listener.onReceiveMetadata(metadata)
  }

  /** What was received is answered, unless that takes long: messages may wait for room. */
  #endWithKey(): void {
    const failure = endedKey()
    this.onEndedKey(failure)
    if (this.#ended) return
    const timer = setTimeout(() => this.sendStatus(richStatusOf(failure)), endedKeyGraceMs)
    this.#stopListening = () => clearTimeout(timer)
  }

  #setDeadline(): void {
    const { defaultDeadlineMs } = this.#parts
    this.#timer = setTimeout(() => {
      const problem = `no answer within ${defaultDeadlineMs} ms; the outcome is unknown: send the request again with the same ids`
      this.sendStatus(richStatusOf(new MillraceError('deadline_exceeded', problem)))
    }, defaultDeadlineMs)
  }

  #refuseCompression(): boolean {
    const [encoding] = this.#metadata.get(refusedEncodingHeader)
    if (encoding === undefined) return false
    const problem = `grpc-encoding ${JSON.stringify(encoding)} is not supported: use one of ${messageEncodings.join(', ')}, or none`
    const status = richStatusOf(new MillraceError('unimplemented', problem, { field: 'grpc-encoding' }))
    status.metadata.set('grpc-accept-encoding', ['identity', ...messageEncodings].join(','))
    this.sendStatus(status)
    return true
  }

  /** grpc-js ends the call: it could not read a message, or the deadline has passed. */
  #onOwnStatus(status: Status): void {
    if (status.metadata instanceof FailureMetadata) {
      this.onRefusedMessage(status.metadata.failure)
    } else if (status.code === grpcStatus.RESOURCE_EXHAUSTED && /^Received message larger/.test(status.details ?? '')) {
      this.onRefusedMessage(
        new MillraceError(
          'message_too_large',
          `the message is larger than ${limits.maxMessageBytes} bytes: send fewer events in one message`,
        ),
      )
    } else {
      this.#end(status, null)
      this.#sendStatus(status)
    }
  }

  /** The status of a call that its client has ended. */
  #endedByItself(): Status {
    const deadline = this.#call.getDeadline()
    const passed = Date.now() + timerLeadMs >= (deadline instanceof Date ? deadline.getTime() : deadline)
    return passed
      ? { code: grpcStatus.DEADLINE_EXCEEDED, details: 'the deadline passed' }
      : { code: grpcStatus.CANCELLED, details: 'the client ended the call' }
  }

  #end(status: Status, failure: MillraceError | null): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#timer)
    this.#stopListening()
    this.#compressed?.close()
    this.#parts.openCalls.delete(this)
    const seconds = (performance.now() - this.#startedAt) / 1000
    const code = grpcStatusNameOf(status.code ?? grpcStatus.UNKNOWN)
    const { metrics, logger } = this.#parts
    metrics.grpcCalls.add(1, { method: this.#method, code })
    metrics.rpcServerDuration.observe(seconds, { method: this.#method, code })
    if (code !== 'OK') this.#log(status, failure, seconds)
    else if (logger.isLevelEnabled?.('debug') !== false) logger.debug(this.#logFields(code, seconds), 'call done')
  }

  #log(status: Status, failure: MillraceError | null, seconds: number): void {
    const fields = {
      ...this.#logFields(grpcStatusNameOf(status.code ?? grpcStatus.UNKNOWN), seconds),
      ...failure?.logFields,
      code: failure?.code ?? codeOfGrpcStatus(status.code ?? grpcStatus.UNKNOWN),
      reason: status.details,
    }
    if (failure?.isOwnFailure === true) this.#parts.logger.error({ ...fields, error: failure.cause }, 'call failed')
    // Cancelled calls are logged at debug level: a client that opens and resets calls must not fill the log.
    else this.#parts.logger[fields.status === 'CANCELLED' ? 'debug' : 'warn'](fields, 'call failed')
  }

  #logFields(status: GrpcStatusName, seconds: number) {
    const [traceparent] = this.#metadata.get('traceparent')
    return {
      request_id: this.#requestId(),
      ...traceFields(traceparent?.toString()),
      method: this.#method,
      status,
      duration_ms: Math.round(seconds * 1000),
      peer: this.#peer,
    }
  }

  /** That of the caller, or one that is made when it is first needed: a publish that succeeds needs none. */
  #requestId(): string {
    const [given] = this.#metadata.get(requestIdKey)
    this.#ownRequestId ??= requestIdOf(given?.toString())
    return this.#ownRequestId
  }
}

/** Has the messages of a call inflated here, if it has compressed ones. */
function compressedMessagesOf(call: ServerInterceptingCallInterface, budget: InflateBudget): CompressedMessages | null {
  const inflating = call as unknown as Inflating
  const encoding = messageEncodings.find((each) => each === inflating.incomingEncoding)
  if (encoding === undefined) return null
  const messages = new CompressedMessages(encoding, budget)
  inflating.decompressMessage = (message) =>
    messages.contentOf(message).catch((thrown: unknown) => {
      throw richStatusOf(toMillraceError(thrown))
    })
  return messages
}

/** Reads a private field of grpc-js, whose version is pinned. */
function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  return Reflect.get(call, 'stream') as ServerHttp2Stream
}
