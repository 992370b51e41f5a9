// What holds for every gRPC call, whatever it does: one guard around each.
//
// Job: refuse compressed requests, give unary calls a deadline, count and log how calls end, let a server that stops end
// those that would last for ever. Authentication will stand here too, at metadata time: before a message is read.
// Not its job: what a call means (publish.ts and its neighbours).

import {
  Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerMethodDefinition,
} from '@grpc/grpc-js'
import { MillraceError } from '../../errors.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { requestIdOf, traceContextOf } from '../request-context.ts'
import { codeOfGrpcStatus, grpcStatus, grpcStatusNameOf } from '../status.ts'
import { refusedEncodingHeader } from './connections.ts'
import type { OpenCall, OpenCalls } from './open-calls.ts'
import { FailureMetadata, richStatusOf } from './rich-status.ts'

/** Timers count by another clock than Date.now() and may be before it by a millisecond. */
const timerLeadMs = 2

const ingestMethods = 'millrace.v1.IngestService/'

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0]
type Status = Parameters<ServerInterceptingCallInterface['sendStatus']>[0]

export interface CallGuardParts {
  readonly metrics: Metrics
  readonly logger: Logger
  readonly openCalls: OpenCalls
  /** Told when a call answers its peer. */
  readonly noteAnswer: (peer: string) => void
  /** What answers to producers say in their metadata of the log's own persistence. */
  readonly persistence: () => string
  /** For unary calls whose client set no deadline. */
  readonly defaultDeadlineMs: number
}

export class GuardedCall extends ServerInterceptingCall implements OpenCall {
  readonly #call: ServerInterceptingCallInterface
  readonly #parts: CallGuardParts
  /** `millrace.v1.IngestService/Publish` */
  readonly #method: string
  readonly #isStream: boolean
  readonly #endsByItself: boolean
  readonly #peer: string
  readonly #startedAt = performance.now()
  #metadata = new Metadata()
  #deadlineTimer: NodeJS.Timeout | undefined
  #ended = false
  #hasSentMetadata = false

  /** @param endsByItself a stream that is asked elsewhere to end when the server stops. */
  constructor(
    call: ServerInterceptingCallInterface,
    definition: ServerMethodDefinition<unknown, unknown>,
    parts: CallGuardParts,
    endsByItself: boolean,
  ) {
    super(call)
    this.#call = call
    this.#parts = parts
    this.#method = definition.path.slice(1)
    this.#isStream = definition.requestStream || definition.responseStream
    this.#endsByItself = endsByItself
    this.#peer = call.getPeer()
  }

  override start(listener: Listener): void {
    this.#call.start({
      onReceiveMetadata: (metadata) => {
        this.#metadata = metadata
        if (!this.#refuseCompression()) listener.onReceiveMetadata(metadata)
      },
      onReceiveMessage: (message) => listener.onReceiveMessage(message),
      onReceiveHalfClose: () => listener.onReceiveHalfClose(),
      // grpc-js calls it at every end of a call, the good one too.
      onCancel: () => {
        this.#end(this.#endedByItself(), null)
        listener.onCancel()
      },
    })
    if (this.#isStream) {
      if (!this.#endsByItself) this.#parts.openCalls.add(this)
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
    this.#call.sendMetadata(metadata)
  }

  override sendStatus(status: Status): void {
    this.#parts.noteAnswer(this.#peer)
    this.#end(status, status.metadata instanceof FailureMetadata ? status.metadata.failure : null)
    this.#call.sendStatus(status)
  }

  drain(): void {
    this.sendStatus(richStatusOf(new MillraceError('draining', 'the server is stopping: connect again')))
  }

  #setDeadline(): void {
    const { defaultDeadlineMs } = this.#parts
    this.#deadlineTimer = setTimeout(() => {
      const problem = `no answer within ${defaultDeadlineMs} ms; the outcome is unknown: send it again with the same ids`
      this.sendStatus(richStatusOf(new MillraceError('deadline_exceeded', problem)))
    }, defaultDeadlineMs)
  }

  #refuseCompression(): boolean {
    const [encoding] = this.#metadata.get(refusedEncodingHeader)
    if (encoding === undefined) return false
    const problem = `grpc-encoding ${JSON.stringify(encoding)} is not enabled: send messages uncompressed`
    const status = richStatusOf(new MillraceError('unimplemented', problem, { field: 'grpc-encoding' }))
    status.metadata.set('grpc-accept-encoding', 'identity')
    this.sendStatus(status)
    return true
  }

  /** How the call has ended without us: grpc-js does not say, so a message over its limit counts as cancelled too. */
  #endedByItself(): Status {
    const deadline = this.#call.getDeadline()
    const passed = Date.now() + timerLeadMs >= (deadline instanceof Date ? deadline.getTime() : deadline)
    return passed
      ? { code: grpcStatus.DEADLINE_EXCEEDED, details: 'the deadline has passed' }
      : { code: grpcStatus.CANCELLED, details: 'the client has ended the call, or gRPC has refused a message' }
  }

  #end(status: Status, failure: MillraceError | null): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#deadlineTimer)
    this.#parts.openCalls.delete(this)
    const seconds = (performance.now() - this.#startedAt) / 1000
    const code = grpcStatusNameOf(status.code ?? grpcStatus.UNKNOWN)
    const { metrics } = this.#parts
    metrics.grpcCalls.add(1, { method: this.#method, code })
    metrics.rpcServerDuration.observe(seconds, { method: this.#method, code })
    if (code !== 'OK') this.#log(status, failure, seconds)
  }

  #log(status: Status, failure: MillraceError | null, seconds: number): void {
    const [requestId] = this.#metadata.get('x-request-id')
    const [traceparent] = this.#metadata.get('traceparent')
    const trace = traceContextOf(traceparent?.toString())
    const fields = {
      request_id: requestIdOf(requestId?.toString()),
      ...(trace === null ? {} : { trace_id: trace.traceId, span_id: trace.spanId }),
      method: this.#method,
      status: grpcStatusNameOf(status.code ?? grpcStatus.UNKNOWN),
      code: failure?.code ?? codeOfGrpcStatus(status.code ?? grpcStatus.UNKNOWN),
      duration_ms: Math.round(seconds * 1000),
      peer: this.#peer,
      reason: status.details,
    }
    if (failure?.code === 'internal') this.#parts.logger.error({ ...fields, error: failure.cause }, 'call failed')
    // Whoever opens calls and resets them must not fill the log; the metrics count those too.
    else this.#parts.logger[fields.status === 'CANCELLED' ? 'debug' : 'warn'](fields, 'call failed')
  }
}
