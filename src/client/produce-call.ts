// One Produce call: sends numbered messages, receives cumulative acknowledgements.
//
// Not its job: resending after the call has ended (delivery.ts).

import { fromBinary } from '@bufbuild/protobuf'
import { type ClientDuplexStream, type Client as GrpcClient, status as grpcStatus, Metadata } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'
import { type ProduceResponse, ProduceResponseSchema } from '../gen/millrace/v1/ingest_pb.ts'
import { errorOfCall } from './grpc-errors.ts'
import { encodeProducer, type ProducerStart } from './produce-message.ts'
import type { OutgoingMessage } from './send-window.ts'

const path = '/millrace.v1.IngestService/Produce'

export interface ProduceCallListener {
  onResponse(response: ProduceResponse): void
  /** Called when there is room again after `isFull`. */
  onRoom(): void
  /** Called once, after the last response. The error is `unavailable` also when the server ends the call with OK. */
  onEnd(error: MillraceError): void
}

export class ProduceCall {
  readonly #call: ClientDuplexStream<Buffer, ProduceResponse>
  readonly #producer: Buffer
  #isFull = false
  #isFirst = true

  constructor(client: GrpcClient, producer: ProducerStart, listener: ProduceCallListener) {
    this.#producer = encodeProducer(producer)
    // No deadline: the call lasts as long as its producer. Keepalive detects a dead link (server-connection.ts),
    // delivery.ts a silent server.
    const call = client.makeBidiStreamRequest<Buffer, ProduceResponse>(
      path,
      (bytes) => bytes,
      (bytes) => fromBinary(ProduceResponseSchema, bytes),
      new Metadata(),
    )
    this.#call = call
    call.on('data', (response) => listener.onResponse(response))
    call.on('drain', () => {
      this.#isFull = false
      listener.onRoom()
    })
    // The status event carries the same error and is always emitted. Without a listener the error would end the
    // process.
    call.on('error', () => {})
    call.on('status', (status) => {
      const error = status.code === grpcStatus.OK ? endedByServer() : errorOfCall(status)
      if (call.readableLength === 0) listener.onEnd(error)
      else call.once('end', () => listener.onEnd(error))
    })
  }

  /** True when the transport's buffer is full: write nothing more until `onRoom`. */
  get isFull(): boolean {
    return this.#isFull
  }

  write(message: OutgoingMessage): void {
    const bytes = this.#isFirst ? Buffer.concat([message.bytes, this.#producer]) : message.bytes
    this.#isFirst = false
    this.#isFull = !this.#call.write(bytes)
  }

  /** Half-closes the call: the server answers what it has received and ends the call. */
  finish(): void {
    this.#call.end()
  }

  cancel(): void {
    this.#call.cancel()
  }
}

function endedByServer(): MillraceError {
  return new MillraceError('unavailable', 'the server ended the call')
}
