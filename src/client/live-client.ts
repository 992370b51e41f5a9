// The live feed, across lost connections.
//
// Job: one Subscribe call at a time (live-call.ts); after a cut, subscribe again from the cursor of the last message, so that
// each event comes once. It reads no further than the caller: while the caller is busy the server sees a slow subscriber.
// Not its job: filters, gaps (the server).

import { fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Client as GrpcClient } from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../errors.ts'
import type { Event as EventOnWire } from '../gen/millrace/v1/event_pb.ts'
import { type SubscribeResponse, SubscribeResponseSchema } from '../gen/millrace/v1/live_pb.ts'
import { sleep } from '../lib/abort.ts'
import { backoffMs } from '../lib/backoff.ts'
import { type GapReason, type OnSlow, onSlowPolicies } from '../pipeline/live.ts'
import { millisecondsOf } from '../wire/durations.ts'
import { gapReason, liveQuery } from '../wire/live.ts'
import type { HandledEvent } from '../workers/handled-event.ts'
import { LiveCall } from './live-call.ts'
import type { ServerConnection } from './server-connection.ts'

/** An event must match one value of each list that is not empty, and all attributes. */
export interface SubscribeOptions {
  /** A declared topic. Default `events`. */
  readonly topic?: string
  /** Types, as in `order.*` or `order.**`. */
  readonly types?: readonly string[]
  readonly sources?: readonly string[]
  /** Prefixes of subjects. */
  readonly subjects?: readonly string[]
  readonly attributes?: Readonly<Record<string, string>>
  /**
   * `now` (the default), `earliest`, the cursor of an item, or a time of receipt, a Date or RFC 3339. What the log has of it
   * comes first.
   */
  readonly from?: string | Date
  /** How many events wait at the server while the caller is busy, 1 to 1,000,000. Default 50,000. */
  readonly maxBufferedEvents?: number
  /**
   * What happens when they are more: `drop_oldest` (the default), `latest_per_key` (those that are not the latest one of
   * their key are dropped first), `disconnect` (the subscription fails as `backlogged`).
   */
  readonly onSlow?: OnSlow
  /** 1 to 64 of A-Z a-z 0-9 . _ -, unique at the server: a second subscription with an id ends the first. Default: assigned. */
  readonly subscriberId?: string
  /** Ends the subscription without an error. */
  readonly signal?: AbortSignal
}

export type LiveItem<Event = HandledEvent> =
  /**
   * `cursor`: subscribe from it to miss nothing after this event. Some of the events before it may come again: those of one
   * message, 64 KiB.
   */
  | { readonly is: 'event'; readonly event: Event; readonly cursor: string }
  /**
   * Events that are missing before the next item. `dropped`: how many of them match; null when that is unknown. Subscribe
   * from `from` to read again what the log still has of them; `to` is behind them. `reason`: `slow` (the buffer was full),
   * `trimmed` (retention has removed them), `lost` (by the log, or the cursor is not of this log).
   */
  | {
      readonly is: 'gap'
      readonly dropped: number | null
      readonly from: string
      readonly to: string
      readonly reason: GapReason
    }
  /** All that was accepted before the subscription began has come. Once. */
  | { readonly is: 'caught_up'; readonly cursor: string }
  /** A server answers: at the beginning and after each cut. `cursor`: where it goes on. */
  | { readonly is: 'connected'; readonly subscriberId: string; readonly cursor: string }
  /** No server answers, or the connection was cut. It tries again, and goes on where it was. */
  | { readonly is: 'disconnected'; readonly error: MillraceError }

export interface LiveParts<Event> {
  /** A connection with room for one more call. */
  readonly takeConnection: () => ServerConnection
  readonly returnConnection: (connection: ServerConnection) => void
  readonly eventOf: (event: EventOnWire) => Event
  /** 0 <= random() < 1. */
  readonly random: () => number
}

const reconnectPolicy = { baseMs: 100, maxMs: 5000 }

export class LiveFollower<Event> {
  readonly #options: SubscribeOptions
  readonly #parts: LiveParts<Event>
  /** Where the next call begins. */
  #cursor: string
  #isCaughtUp = false
  #isConnected = true
  /** Calls that have failed one after the other, without a message. */
  #failures = 0
  /** What the server has asked for with its last message. */
  #reconnectAfterMs: number | null = null

  constructor(options: SubscribeOptions, parts: LiveParts<Event>) {
    const { from = '' } = options
    this.#options = options
    this.#parts = parts
    // A Date that is none is refused by the server, which says what `from` takes.
    this.#cursor = typeof from === 'string' ? from : Number.isNaN(from.getTime()) ? String(from) : from.toISOString()
  }

  /** One generator for all, since each one around it would cost two promises per event. */
  async *items(): AsyncGenerator<LiveItem<Event>, void, undefined> {
    const { signal } = this.#options
    const aborted = Promise.withResolvers<null>()
    const onAbort = (): void => aborted.resolve(null)
    signal?.addEventListener('abort', onAbort, { once: true })
    const connection = this.#parts.takeConnection()
    try {
      while (!signal?.aborted) {
        let client: GrpcClient | null = null
        let call: LiveCall | null = null
        let error: MillraceError
        let isOpen = false
        try {
          client = await Promise.race([connection.open(), aborted.promise])
          if (client === null) return
          call = new LiveCall(client, this.#request(), signal)
          const opened = await call.opened
          isOpen = true
          this.#cursor = opened.cursor
          this.#isConnected = true
          yield { is: 'connected', ...opened }
          for await (const bytes of call.messages()) {
            this.#failures = 0
            for (const item of this.#itemsOf(fromBinary(SubscribeResponseSchema, bytes))) {
              if (signal?.aborted) return
              yield item
            }
          }
          error = this.#endedByServer()
        } catch (thrown) {
          if (signal?.aborted) return
          error = toMillraceError(thrown)
          if (this.#isFinal(error, isOpen)) throw error
        } finally {
          call?.cancel()
        }
        if (client !== null) connection.drop(client)
        if (this.#isConnected) {
          this.#isConnected = false
          yield { is: 'disconnected', error }
        }
        await sleep(
          Math.max(error.retryAfterMs ?? 0, backoffMs(++this.#failures, reconnectPolicy, this.#parts.random())),
          signal,
        )
      }
    } finally {
      signal?.removeEventListener('abort', onAbort)
      this.#parts.returnConnection(connection)
    }
  }

  #itemsOf({ events, gap, caughtUp, reconnect, cursor }: SubscribeResponse): LiveItem<Event>[] {
    const items: LiveItem<Event>[] = events.map((event, index) => ({
      is: 'event',
      event: this.#parts.eventOf(event),
      cursor: index === events.length - 1 ? cursor : this.#cursor,
    }))
    this.#cursor = cursor
    if (gap !== undefined) {
      const { dropped, from, to, reason } = gap
      items.push({
        ...{ is: 'gap', from, to, reason: gapReason.ofWire(reason, 'reason') },
        dropped: dropped === undefined ? null : Number(dropped),
      })
    }
    if (caughtUp !== undefined && !this.#isCaughtUp) {
      this.#isCaughtUp = true
      items.push({ is: 'caught_up', cursor })
    }
    if (reconnect !== undefined) {
      this.#reconnectAfterMs = reconnect.after === undefined ? 0 : millisecondsOf(reconnect.after)
    }
    return items
  }

  #endedByServer(): MillraceError {
    const retryAfterMs = this.#reconnectAfterMs
    this.#reconnectAfterMs = null
    if (retryAfterMs === null) return new MillraceError('unavailable', 'the server ended the call')
    return new MillraceError('draining', 'the server has asked to reconnect', { retryAfterMs })
  }

  #isFinal(error: MillraceError, isOpen: boolean): boolean {
    // Before the call was open the server has no room for one more subscriber.
    if (error.code === 'backlogged') return isOpen && this.#options.onSlow === 'disconnect'
    return !error.retryable && error.code !== 'internal'
  }

  #request(): Buffer {
    const { topic = '', types = [], sources = [], subjects = [], attributes = {} } = this.#options
    const { subscriberId = '', maxBufferedEvents = null, onSlow = 'drop_oldest' } = this.#options
    if (
      maxBufferedEvents !== null &&
      !(Number.isInteger(maxBufferedEvents) && maxBufferedEvents >>> 0 === maxBufferedEvents)
    ) {
      const problem = `maxBufferedEvents is ${maxBufferedEvents}; it must be a whole number from 1 to 1,000,000`
      throw new MillraceError('invalid_event', problem, { field: 'maxBufferedEvents' })
    }
    if (!onSlowPolicies.includes(onSlow)) {
      const problem = `onSlow is "${onSlow}"; it must be one of ${onSlowPolicies.join(', ')}`
      throw new MillraceError('invalid_event', problem, { field: 'onSlow' })
    }
    const request = liveQuery.toMessage({
      ...{ topic, subscriberId, types, sources, subjects, from: this.#cursor, onSlow },
      ...{ attributes: new Map(Object.entries(attributes)), maxBufferedEvents },
    })
    return Buffer.from(toBinary(liveQuery.schema, request))
  }
}
