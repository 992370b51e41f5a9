// One Consume call: joins a group, receives deliveries, sends outcomes, all of one turn of the event loop in one message.
//
// Not its job: running handlers, joining again (worker.ts).

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type ClientDuplexStream, type Client as GrpcClient, status as grpcStatus, Metadata } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'
import type { Payload } from '../event/request.ts'
import {
  ConsumeRequestSchema,
  type ConsumeResponse,
  ConsumeResponseSchema,
  type JoinSchema,
  type OutcomeSchema,
} from '../gen/millrace/v1/work_pb.ts'
import { errorOfCall } from './grpc-errors.ts'

const path = '/millrace.v1.WorkService/Consume'

/** Servers take messages of 4 MiB; one more reply has up to 1 MiB. */
const maxReplyBytes = 1024 * 1024

export type OutcomeEnd = MessageInitShape<typeof OutcomeSchema>['end']

export interface ConsumeCallListener {
  onResponse(response: ConsumeResponse): void
  /** Called once, after the last response. Null: the worker has left. */
  onEnd(error: MillraceError | null): void
}

export class ConsumeCall {
  readonly #call: ClientDuplexStream<Buffer, ConsumeResponse>
  #outcomes: MessageInitShape<typeof OutcomeSchema>[] = []
  /** Bytes of the replies in them. */
  #replyBytes = 0
  readonly #extended = new Set<bigint>()
  #flushIsDue = false
  #isLeaving = false

  constructor(client: GrpcClient, join: MessageInitShape<typeof JoinSchema>, listener: ConsumeCallListener) {
    // No deadline: the call lasts as long as its worker. Keepalive detects a dead link (server-connection.ts).
    const call = client.makeBidiStreamRequest<Buffer, ConsumeResponse>(
      path,
      (bytes) => bytes,
      (bytes) => fromBinary(ConsumeResponseSchema, bytes),
      new Metadata(),
    )
    this.#call = call
    call.on('data', (response) => listener.onResponse(response))
    // The status event carries the same error and is always emitted.
    call.on('error', () => {})
    call.on('status', (status) => {
      if (status.code !== grpcStatus.OK) listener.onEnd(errorOfCall(status))
      else listener.onEnd(this.#isLeaving ? null : new MillraceError('unavailable', 'the server ended the call'))
    })
    this.#write({ join })
  }

  settle(delivery: bigint, end: OutcomeEnd, reply?: Payload): void {
    this.#outcomes.push({ delivery, end, reply })
    this.#extended.delete(delivery)
    this.#replyBytes += reply?.data.length ?? 0
    if (this.#replyBytes >= maxReplyBytes) this.#flush()
    else this.#flushSoon()
  }

  extend(delivery: bigint): void {
    this.#extended.add(delivery)
    this.#flushSoon()
  }

  /** Nothing more will be delivered, and the server ends the call when it has all outcomes. */
  leave(): void {
    this.#isLeaving = true
    this.#write({ leave: true })
  }

  cancel(): void {
    this.#call.cancel()
  }

  #flushSoon(): void {
    if (this.#flushIsDue) return
    this.#flushIsDue = true
    setImmediate(() => {
      this.#flushIsDue = false
      this.#flush()
    })
  }

  #flush(): void {
    if (this.#outcomes.length + this.#extended.size === 0) return
    this.#write({ outcomes: this.#outcomes, extend: [...this.#extended].map((delivery) => ({ delivery })) })
    this.#outcomes = []
    this.#replyBytes = 0
    this.#extended.clear()
  }

  #write(fields: MessageInitShape<typeof ConsumeRequestSchema>): void {
    if (this.#call.writable)
      this.#call.write(Buffer.from(toBinary(ConsumeRequestSchema, create(ConsumeRequestSchema, fields))))
  }
}
