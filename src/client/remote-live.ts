// The live feed of a server, as the pipeline has it: frames with the events as they are encoded.
//
// A frame has one cursor, that of its last event: until then a subscriber stands where the frame before has left it.

import { fromBinary } from '@bufbuild/protobuf'
import type { Metadata } from '@grpc/grpc-js'
import { type MillraceError, toMillraceError } from '../errors.ts'
import { SubscribeResponseSchema } from '../gen/millrace/v1/live_pb.ts'
import { FieldWalker } from '../lib/protobuf-walk.ts'
import type { LiveEvent, LiveFrame, LiveQuery, LiveSubscription } from '../pipeline/live.ts'
import { millisecondsOf } from '../wire/durations.ts'
import { gapReason, liveQuery } from '../wire/live.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { LiveCall } from './live-call.ts'
import { encodeMessage } from './make-call.ts'
import { dropAfter } from './resent-call.ts'

const cursorField = 1
const eventsField = 2

/** How soon a subscriber should come back whose server is gone. */
const reconnectAfterMs = 1000

/** @param open has the subscription until it has ended. */
export async function subscribeRemotely(
  pool: ConnectionPool,
  query: LiveQuery,
  metadata: Metadata,
  open: Set<LiveSubscription>,
): Promise<LiveSubscription> {
  const connection = pool.take()
  const release = () => {
    pool.giveBack(connection)
  }
  try {
    const client = await connection.open()
    const call = new LiveCall(client, encodeMessage(liveQuery, query), undefined, metadata)
    try {
      const { subscriberId, cursor } = await call.opened
      const subscription = new RemoteSubscription(call, subscriberId, cursor, () => {
        open.delete(subscription)
        release()
      })
      open.add(subscription)
      return subscription
    } catch (thrown) {
      call.cancel()
      dropAfter(connection, client, thrown)
      throw thrown
    }
  } catch (thrown) {
    release()
    throw thrown
  }
}

/** How it ends, once that is known. */
type End = { readonly is: 'closed' | 'reconnect' } | { readonly is: 'failed'; readonly error: MillraceError }

class RemoteSubscription implements LiveSubscription {
  readonly subscriberId: string
  readonly startCursor: string
  readonly #call: LiveCall
  readonly #messages: AsyncGenerator<Buffer, void, undefined>
  readonly #walker = new FieldWalker()
  readonly #onEnd: () => void
  /** Where the subscriber stands. */
  #cursor: string
  #end: End | null = null
  #isOver = false

  constructor(call: LiveCall, subscriberId: string, cursor: string, onEnd: () => void) {
    this.#call = call
    this.#messages = call.messages()
    this.subscriberId = subscriberId
    this.startCursor = cursor
    this.#cursor = cursor
    this.#onEnd = onEnd
  }

  async next(): Promise<LiveFrame | null> {
    if (this.#isOver) return null
    try {
      const { done, value } = await this.#messages.next()
      if (this.#end === null && done !== true) return this.#frameOf(value)
    } catch (thrown) {
      const error = toMillraceError(thrown)
      // The server is gone, or stops: its subscribers go on elsewhere, from where they are.
      const mayGoOn = error.code === 'unavailable' || error.code === 'draining'
      this.#end ??= mayGoOn ? { is: 'reconnect' } : { is: 'failed', error }
    }
    this.#finish()
    const end = this.#end ?? { is: 'closed' }
    if (end.is === 'failed') throw end.error
    return end.is === 'closed' ? null : { is: 'reconnect', cursor: this.#cursor, afterMs: reconnectAfterMs }
  }

  endSoon(): void {
    this.#stop({ is: 'reconnect' })
  }

  end(error: MillraceError): void {
    this.#stop({ is: 'failed', error })
  }

  close(): void {
    this.#stop({ is: 'closed' })
    this.#finish()
  }

  #stop(end: End): void {
    this.#end ??= end
    // A waiting `next` then ends with it.
    this.#call.cancel()
  }

  #finish(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#call.cancel()
    this.#onEnd()
  }

  #frameOf(bytes: Buffer): LiveFrame {
    const before = this.#cursor
    const events: Uint8Array[] = []
    let cursor = before
    const walker = this.#walker.reset(bytes, 0, bytes.length)
    while (walker.next()) {
      const { number, valueStart, valueEnd } = walker
      // As they are, not decoded.
      if (number === eventsField) events.push(bytes.subarray(valueStart, valueEnd))
      else if (number === cursorField) cursor = bytes.toString('latin1', valueStart, valueEnd)
    }
    if (events.length === 0) return this.#otherFrameOf(bytes)
    this.#cursor = cursor
    const last = events.length - 1
    const toEvent = (each: Uint8Array, index: number): LiveEvent => ({
      ...{ bytes: each, cursor: index === last ? cursor : before, text: null },
    })
    return { is: 'events', cursor, events: events.map(toEvent), sharedBy: null }
  }

  #otherFrameOf(bytes: Buffer): LiveFrame {
    const { cursor, gap, caughtUp, reconnect } = fromBinary(SubscribeResponseSchema, bytes)
    this.#cursor = cursor
    if (gap !== undefined) {
      const { dropped, from, to, reason } = gap
      const count = dropped === undefined ? null : Number(dropped)
      return { is: 'gap', cursor, dropped: count, from, to, reason: gapReason.ofWire(reason, 'reason') }
    }
    if (caughtUp !== undefined) return { is: 'caught_up', cursor }
    if (reconnect === undefined) return { is: 'progress', cursor }
    return { is: 'reconnect', cursor, afterMs: reconnect.after === undefined ? 0 : millisecondsOf(reconnect.after) }
  }
}
