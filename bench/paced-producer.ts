// One stream of PublishStream whose caller says how many events it may have sent.

import { fromBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { type PublishStreamResponse, PublishStreamResponseSchema } from '../src/gen/millrace/v1/ingest_pb.ts'
import type { MessageFactory } from './messages.ts'

export class PacedProducer {
  readonly #messages: MessageFactory
  readonly #client: grpc.Client
  readonly #call: grpc.ClientWritableStream<Buffer>
  readonly #summary = Promise.withResolvers<PublishStreamResponse>()
  #isFull = false

  constructor(address: string, messages: MessageFactory) {
    this.#messages = messages
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
    this.#call = this.#client.makeClientStreamRequest(
      '/millrace.v1.IngestService/PublishStream',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => fromBinary(PublishStreamResponseSchema, bytes),
      (error, summary) => (summary === undefined ? this.#summary.reject(error) : this.#summary.resolve(summary)),
    )
    this.#call.on('drain', () => {
      this.#isFull = false
    })
  }

  get sent(): number {
    return this.#messages.events
  }

  /** Sends whole messages while the number of events sent in all stays within `events`, and the transport takes them. */
  sendUpTo(events: number): void {
    while (!this.#isFull && this.sent + this.#messages.eventsPerMessage <= events)
      this.#isFull = !this.#call.write(this.#messages.next())
  }

  /** Resolves with the number of accepted events when all are answered. */
  async end(): Promise<number> {
    this.#call.end()
    const { accepted } = await this.#summary.promise
    this.#client.close()
    if (Number(accepted) !== this.sent) throw new Error(`${accepted} of ${this.sent} events were accepted`)
    return this.sent
  }
}
