// A subscriber of the benchmark: counts the events of raw SubscribeResponse messages without decoding them.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { GapSchema, OnSlow, SubscribeRequestSchema } from '../src/gen/millrace/v1/live_pb.ts'
import { bytesType, FieldWalker } from '../src/lib/protobuf-walk.ts'

const eventsField = 2
const gapField = 3
const caughtUpField = 4
const asIs = (bytes: Buffer): Buffer => bytes

export interface FeedSubscriberOptions {
  readonly address: string
  readonly maxBufferedEvents?: number
  /** Called for each message, with the number of its events. */
  readonly onEvents?: (events: number) => void
}

export class FeedSubscriber {
  received = 0
  /** Events that gaps have named. */
  dropped = 0
  /** Resolves when it follows the feed. */
  readonly live: Promise<void>
  readonly #client: grpc.Client
  readonly #call: grpc.ClientReadableStream<Buffer>
  readonly #walker = new FieldWalker()

  constructor({ address, maxBufferedEvents, onEvents = () => {} }: FeedSubscriberOptions) {
    // A connection each, as subscribers in other processes have.
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
    const request = create(SubscribeRequestSchema, {
      onSlow: OnSlow.DROP_OLDEST,
      ...(maxBufferedEvents === undefined ? {} : { maxBufferedEvents }),
    })
    const bytes = Buffer.from(toBinary(SubscribeRequestSchema, request))
    this.#call = this.#client.makeServerStreamRequest('/millrace.v1.LiveService/Subscribe', asIs, asIs, bytes)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.live = promise
    this.live.catch(() => {})
    this.#call.on('data', (message: Buffer) => {
      const events = this.#read(message, resolve)
      if (events === 0) return
      this.received += events
      onEvents(events)
    })
    this.#call.on('error', (error: grpc.ServiceError) => {
      if (error.code !== grpc.status.CANCELLED) reject(error)
    })
  }

  /** Nothing is read until `resume`. */
  pause(): void {
    this.#call.pause()
  }

  resume(): void {
    this.#call.resume()
  }

  close(): void {
    this.#call.cancel()
    this.#client.close()
  }

  #read(message: Buffer, onCaughtUp: () => void): number {
    let events = 0
    const walker = this.#walker.reset(message, 0, message.length)
    while (walker.next()) {
      if (walker.wireType !== bytesType) continue
      if (walker.number === eventsField) events++
      else if (walker.number === caughtUpField) onCaughtUp()
      else if (walker.number === gapField) {
        const gap = fromBinary(GapSchema, message.subarray(walker.valueStart, walker.valueEnd))
        this.dropped += Number(gap.dropped ?? Number.NaN)
      }
    }
    return events
  }
}
