// LiveService: the frames of a subscription, one write at a time.
//
// Job: decode the request; write a frame when the one before it has left, so that the events of a subscriber that does not
// read wait in its own bounded buffer, where they are dropped and counted; free everything when the call ends.
// Not its job: filters, buffers, gaps, the last frames when the server stops (the pipeline).

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import {
  Metadata,
  type ServerWritableStream,
  type StatusObject,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../../errors.ts'
import { type GapReason, SubscribeRequestSchema, SubscribeResponseSchema } from '../../gen/millrace/v1/live_pb.ts'
import { varintLength, writeVarint } from '../../lib/protobuf-walk.ts'
import type { Live, LiveFrame, LiveQuery, LiveSubscription } from '../../pipeline/live.ts'
import { toDuration } from '../../wire/durations.ts'
import { gapReason, getCursor, liveQuery } from '../../wire/live.ts'
import { grpcStatus } from '../status.ts'
import { checkTopic } from '../topic.ts'
import { richStatusOf } from './rich-status.ts'
import { unary } from './unary.ts'

type Call = ServerWritableStream<Buffer, Buffer>

/** @param encoder one for all callers, whose frames it encodes once. */
export function liveHandlers(live: Live, encoder: FrameEncoder): UntypedServiceImplementation {
  return {
    subscribe: (call: Call) => void new FrameSender(call, live, encoder).run(),
    getCursor: unary(getCursor, async ({ topic }) => ({ cursor: await live.landedCursor(topic) })),
  }
}

class FrameSender {
  readonly #call: Call
  readonly #live: Live
  readonly #encoder: FrameEncoder
  #subscription: LiveSubscription | null = null
  #isOver = false
  #onWritten: () => void = () => {}

  constructor(call: Call, live: Live, encoder: FrameEncoder) {
    this.#call = call
    this.#live = live
    this.#encoder = encoder
    // At every end, also when a cut was one.
    call.on('cancelled', () => this.#close())
    call.on('error', () => {})
  }

  async run(): Promise<void> {
    try {
      const subscription = await this.#live.subscribe(queryOf(this.#call.request))
      this.#subscription = subscription
      if (this.#isOver) return
      this.#call.sendMetadata(metadataOf(subscription))
      for (;;) {
        const frame = await subscription.next()
        if (frame === null) break
        await this.#write(this.#encoder.encode(frame))
      }
      this.#call.end()
    } catch (thrown) {
      this.#call.emit('error', statusOf(toMillraceError(thrown)))
    } finally {
      this.#close()
    }
  }

  /** Resolves when HTTP/2 has taken the bytes, or the call is over: then grpc-js calls back no more. */
  #write(bytes: Buffer): Promise<void> {
    if (this.#isOver) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onWritten = resolve
      this.#call.write(bytes, () => resolve())
    })
  }

  #close(): void {
    this.#isOver = true
    this.#subscription?.close()
    this.#onWritten()
  }
}

function metadataOf({ startCursor, subscriberId }: LiveSubscription): Metadata {
  const metadata = new Metadata()
  metadata.set('millrace-cursor', startCursor)
  metadata.set('millrace-subscriber-id', subscriberId)
  return metadata
}

/** `cancelled` is here that another subscription took the id: to subscribe again would take it back, and so on. */
function statusOf(error: MillraceError): StatusObject {
  if (error.code !== 'cancelled') return richStatusOf(error)
  return richStatusOf(new MillraceError('failed_precondition', error.message), [], [], grpcStatus.ABORTED)
}

function queryOf(bytes: Buffer): LiveQuery {
  const query = liveQuery.ofMessage(decode(bytes))
  return { ...query, topic: checkTopic(query.topic) }
}

function decode(bytes: Buffer) {
  try {
    return fromBinary(SubscribeRequestSchema, bytes)
  } catch (cause) {
    throw new MillraceError('invalid_event', 'the message is not a valid protobuf message', { cause })
  }
}

export class FrameEncoder {
  readonly #shared = new WeakMap<object, Buffer>()

  /** A SubscribeResponse. One with the same events for several subscribers is encoded once. */
  encode(frame: LiveFrame): Buffer {
    if (frame.is !== 'events') return encodeFields(fieldsOf(frame))
    const { sharedBy } = frame
    if (sharedBy === null) return encodeEvents(frame)
    const known = this.#shared.get(sharedBy)
    if (known !== undefined) return known
    const bytes = encodeEvents(frame)
    this.#shared.set(sharedBy, bytes)
    return bytes
  }
}

type Fields = MessageInitShape<typeof SubscribeResponseSchema>

function fieldsOf(frame: Exclude<LiveFrame, { is: 'events' }>): Fields {
  const { cursor } = frame
  switch (frame.is) {
    case 'gap': {
      const { dropped, from, to, reason } = frame
      const gap = { from, to, reason: gapReason.toWire(reason) as GapReason }
      return { cursor, gap: dropped === null ? gap : { ...gap, dropped: BigInt(dropped) } }
    }
    case 'caught_up':
      return { cursor, caughtUp: {} }
    case 'progress':
      return { cursor }
    case 'reconnect':
      return { cursor, reconnect: { after: toDuration(frame.afterMs) } }
  }
}

function encodeFields(fields: Fields): Buffer {
  const { buffer, byteOffset, byteLength } = toBinary(SubscribeResponseSchema, create(SubscribeResponseSchema, fields))
  return Buffer.from(buffer, byteOffset, byteLength)
}

/** By hand, for the events are encoded already. */
function encodeEvents({ cursor, events }: Extract<LiveFrame, { is: 'events' }>): Buffer {
  let length = 1 + varintLength(cursor.length) + cursor.length
  for (const { bytes } of events) length += 1 + varintLength(bytes.length) + bytes.length
  const buffer = Buffer.allocUnsafe(length)
  // Field 1, cursor, which is ASCII.
  buffer[0] = 0x0a
  let at = writeVarint(buffer, 1, cursor.length)
  at += buffer.write(cursor, at, 'latin1')
  for (const { bytes } of events) {
    // Field 2, events.
    buffer[at] = 0x12
    at = writeVarint(buffer, at + 1, bytes.length)
    buffer.set(bytes, at)
    at += bytes.length
  }
  return buffer
}
