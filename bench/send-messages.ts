// The load generator: grpc-js calls that write pre-encoded messages, the same for Millrace and for its floor.
//
// It has two modes. Without a rate each producer writes as fast as flow control allows (a closed loop: it finds the highest
// rate, and its latencies mean nothing). With a rate the due times are fixed before the run (an open loop): a generator that
// is late catches up at once, and comparing `offered` with `sent` shows whether it could.

import { Writable } from 'node:stream'
import { fromBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import {
  type ProduceResponse,
  ProduceResponseSchema,
  type PublishResponse,
  PublishResponseSchema,
  type PublishStreamResponse,
  PublishStreamResponseSchema,
} from '../src/gen/millrace/v1/ingest_pb.ts'
import { rejectedEvents } from '../src/pipeline/rejections.ts'
import type { MessageFactory } from './messages.ts'

/** `Publish`: unary calls, 64 in flight for each producer. */
export type SendMethod = 'PublishStream' | 'Produce' | 'Publish'

export interface SendPlan {
  readonly method: SendMethod
  /** Sending time. */
  readonly seconds: number
  /** Max events to send. */
  readonly maxEvents?: number
  /** Rate of all producers together; undefined: as fast as possible. */
  readonly eventsPerSecond?: number
}

/** In events. */
export interface SendResult {
  /** Events due by the rate; equal to `sent` without a rate. */
  readonly offered: number
  readonly sent: number
  readonly accepted: number
  readonly dropped: number
  readonly rejected: number
  /** From the first write to the last answer. */
  readonly seconds: number
}

type Call = Pick<Writable, 'write' | 'end' | 'on'>

const tickMs = 1
const asIs = (bytes: Buffer): Buffer => bytes

/** The producers' connections to one server, opened once and reused for all calls. */
export class Generator {
  readonly #clients: grpc.Client[]
  readonly #messages: MessageFactory
  readonly #metadata = new grpc.Metadata()

  /**
   * @param producers number of concurrent streams, each on its own connection.
   * @param key is sent with each call.
   */
  constructor(address: string, producers: number, messages: MessageFactory, key: string | null = null) {
    this.#messages = messages
    if (key !== null) this.#metadata.set('authorization', `Bearer ${key}`)
    this.#clients = Array.from({ length: producers }, () => {
      const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc.max_send_message_length': -1 }
      return new grpc.Client(address, grpc.credentials.createInsecure(), options)
    })
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }

  /** Sends according to the plan; resolves when every message is answered. Rejects when a call fails. */
  async send(plan: SendPlan): Promise<SendResult> {
    const tally = { offered: 0, sent: 0, accepted: 0, dropped: 0, rejected: 0 }
    const startMs = performance.now()
    const endMs = startMs + plan.seconds * 1000
    const { eventsPerMessage } = this.#messages
    const maxEvents = plan.maxEvents ?? Number.POSITIVE_INFINITY
    const dueEvents = (nowMs: number): number => {
      if (plan.eventsPerSecond === undefined) return nowMs < endMs ? maxEvents : 0
      return Math.min(((Math.min(nowMs, endMs) - startMs) / 1000) * plan.eventsPerSecond, maxEvents)
    }
    const isOver = (nowMs: number): boolean => nowMs >= endMs || tally.sent >= maxEvents
    const streams = this.#clients.map((client) => openStream({ client, metadata: this.#metadata, tally }, plan.method))

    /** Writes what is due until the transport's buffer is full; the call's `drain` event calls it again. */
    const pump = (stream: OpenStream): void => {
      stream.blocked = false
      for (;;) {
        const nowMs = performance.now()
        if (isOver(nowMs)) {
          stream.end()
          return
        }
        if (tally.sent + eventsPerMessage > dueEvents(nowMs)) return
        tally.sent += eventsPerMessage
        stream.events += eventsPerMessage
        if (!stream.call.write(this.#messages.next())) {
          stream.blocked = true
          return
        }
      }
    }
    const pumpAll = (): void => {
      for (const stream of streams) if (!stream.blocked || isOver(performance.now())) pump(stream)
    }
    for (const stream of streams) stream.call.on('drain', () => pump(stream))
    const ticker = setInterval(pumpAll, tickMs)
    try {
      pumpAll()
      await Promise.all(streams.map(({ answered }) => answered))
    } finally {
      clearInterval(ticker)
    }
    const offered = plan.eventsPerSecond === undefined ? tally.sent : Math.floor(dueEvents(endMs))
    return { ...tally, offered, seconds: (performance.now() - startMs) / 1000 }
  }
}

interface Tally {
  accepted: number
  dropped: number
  rejected: number
}

interface OpenStream {
  readonly call: Call
  readonly answered: Promise<void>
  /** Written to this stream. */
  events: number
  blocked: boolean
  end(): void
}

interface StreamParts {
  readonly client: grpc.Client
  readonly metadata: grpc.Metadata
  readonly tally: Tally
}

function openStream(parts: StreamParts, method: SendMethod): OpenStream {
  const answered = Promise.withResolvers<void>()
  const call = openCall()
  let ended = false
  const stream: OpenStream = {
    call,
    answered: answered.promise,
    events: 0,
    blocked: false,
    end: () => {
      if (!ended) call.end()
      ended = true
    },
  }
  return stream

  function openCall(): Call {
    switch (method) {
      case 'PublishStream':
        return publishStream(parts, answered)
      case 'Produce':
        return produce(parts, answered, () => stream.events)
      case 'Publish':
        return publish(parts, answered)
    }
  }
}

const callsInFlight = 64

/** Each message is a call of its own. */
function publish({ client, metadata, tally }: StreamParts, answered: PromiseWithResolvers<void>): Call {
  let inFlight = 0
  const calls = new Writable({
    highWaterMark: callsInFlight,
    objectMode: true,
    write: (message: Buffer, _encoding, done) => {
      inFlight++
      client.makeUnaryRequest(
        '/millrace.v1.IngestService/Publish',
        asIs,
        (bytes: Buffer): PublishResponse => fromBinary(PublishResponseSchema, bytes),
        message,
        metadata,
        (error, verdict) => {
          if (verdict === undefined) return answered.reject(error)
          tally.accepted += Number(verdict.accepted)
          tally.dropped += Number(verdict.dropped)
          tally.rejected += verdict.rejections.length
          if (inFlight-- === callsInFlight) done()
          if (inFlight === 0 && calls.writableFinished) answered.resolve()
        },
      )
      if (inFlight < callsInFlight) done()
    },
  })
  return calls.on('finish', () => inFlight === 0 && answered.resolve())
}

function publishStream({ client, metadata, tally }: StreamParts, answered: PromiseWithResolvers<void>): Call {
  return client.makeClientStreamRequest(
    '/millrace.v1.IngestService/PublishStream',
    asIs,
    (bytes: Buffer): PublishStreamResponse => fromBinary(PublishStreamResponseSchema, bytes),
    metadata,
    (error, summary) => {
      if (summary === undefined) {
        answered.reject(error)
        return
      }
      tally.accepted += Number(summary.accepted)
      tally.dropped += Number(summary.dropped)
      tally.rejected += Number(summary.rejected)
      answered.resolve()
    },
  )
}

/** Produce reports refused events only; all others up to `acked_through` are accepted. */
function produce(
  { client, metadata, tally }: StreamParts,
  answered: PromiseWithResolvers<void>,
  events: () => number,
): Call {
  let refused = 0
  const call = client.makeBidiStreamRequest(
    '/millrace.v1.IngestService/Produce',
    asIs,
    (bytes: Buffer): ProduceResponse => {
      return fromBinary(ProduceResponseSchema, bytes)
    },
    metadata,
  )
  call.on('data', ({ rejections, dropped }: ProduceResponse) => {
    const rejected = rejectedEvents(rejections)
    tally.rejected += rejected
    tally.dropped += Number(dropped)
    refused += rejected + Number(dropped)
  })
  call.on('error', answered.reject)
  call.on('end', () => {
    // The call ends without an error only when every message has been answered.
    tally.accepted += events() - refused
    answered.resolve()
  })
  return call
}
