// WorkService.Consume: one worker in another process.
//
// Job: decode what the worker sends and refuse what is not valid; send what it gets, all deliveries of one turn of the
// event loop in one message, unless that is large. What waits to be sent is bounded by the places of the worker.
// Not its job: groups and places (the pipeline).

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { ServerDuplexStream } from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../../errors.ts'
import { receivedEventLength, writeReceivedEvent } from '../../event/received-event.ts'
import type { TraceContext } from '../../event/trace-context.ts'
import {
  type ConsumeRequest,
  ConsumeRequestSchema,
  ConsumeResponseSchema,
  DeliverySchema,
  type Outcome,
  type RevokeReason as RevokeNumber,
} from '../../gen/millrace/v1/work_pb.ts'
import { FieldWalker, varintLength, writeVarint } from '../../lib/protobuf-walk.ts'
import type { Pipeline } from '../../pipeline/pipeline.ts'
import type { RevokeReason, WorkDelivery, WorkEnd, WorkListener, WorkSession } from '../../pipeline/work.ts'
import { millisecondsOf, toDuration } from '../../wire/durations.ts'
import { isErrorCode } from '../../wire/publish.ts'
import { revokeReason, workJoin } from '../../wire/work.ts'
import type { OpenCall, OpenCalls } from '../open-calls.ts'
import { richStatusOf } from './rich-status.ts'

type Call = ServerDuplexStream<Buffer, Buffer>

/** Clients take messages of 4 MiB; one more event has up to 1 MiB. */
const maxAnswerBytes = 1024 * 1024

export function consumeHandler(pipeline: Pipeline, openCalls: OpenCalls): (call: Call) => void {
  return (call) => new ConsumeStream(call, pipeline, openCalls).open()
}

class ConsumeStream implements WorkListener, OpenCall {
  readonly peer: string
  readonly #call: Call
  readonly #pipeline: Pipeline
  readonly #openCalls: OpenCalls
  /** Null before it has joined. */
  #session: WorkSession | null = null
  readonly #walker = new FieldWalker()
  #isOver = false
  #answers: Buffer[] = []
  #answerBytes = 0
  #flushIsDue = false

  constructor(call: Call, pipeline: Pipeline, openCalls: OpenCalls) {
    this.peer = call.getPeer()
    this.#call = call
    this.#pipeline = pipeline
    this.#openCalls = openCalls
  }

  open(): void {
    this.#openCalls.add(this)
    this.#call.on('data', (bytes: Buffer) => void this.#receive(bytes))
    // Also when the stream breaks.
    this.#call.on('end', () => this.#finish(null))
    // Also after every other end.
    this.#call.on('cancelled', () => this.#finish(null))
    this.#call.on('error', () => {})
  }

  /** The server is stopping. A session goes on until what is at work was answered. */
  drain(): void {
    if (this.#session === null) this.end(new MillraceError('draining', 'the server is stopping: reconnect'))
  }

  deliver({ delivery, attempt, trace, batch }: WorkDelivery): void {
    const { bytes, receivedAtMicros } = batch
    this.#walker.reset(bytes, 0, bytes.length).next()
    const event = bytes.subarray(this.#walker.valueStart, this.#walker.valueEnd)
    this.#answer(encodeDelivery(event, receivedAtMicros, delivery, attempt, trace))
  }

  revoke(delivery: number, reason: RevokeReason): void {
    const revoke = [{ delivery: BigInt(delivery), reason: revokeReason.toWire(reason) as RevokeNumber }]
    this.#answer(toBinary(ConsumeResponseSchema, create(ConsumeResponseSchema, { revoke })))
  }

  end(error: MillraceError | null): void {
    this.#finish(error)
  }

  async #receive(bytes: Buffer): Promise<void> {
    if (this.#isOver) return
    try {
      const request = decode(bytes)
      if (this.#session === null) await this.#join(request)
      else if (request.join !== undefined) throw refusal('join', 'is given again: a stream joins once')
      if (!this.#isOver) this.#take(this.#session!, request)
    } catch (thrown) {
      this.#finish(toMillraceError(thrown))
    }
  }

  async #join({ join }: ConsumeRequest): Promise<void> {
    if (join === undefined) throw refusal('join', 'is missing: the first message of a stream has it')
    // What comes meanwhile is read when the worker has joined.
    this.#call.pause()
    const session = await this.#pipeline.work(workJoin.ofMessage(join), this)
    this.#session = session
    if (this.#isOver) return session.close()
    const joined = { timeout: toDuration(session.timeoutMs), maxAttempts: session.maxAttempts }
    const answer = toBinary(ConsumeResponseSchema, create(ConsumeResponseSchema, { joined }))
    this.#answer(answer, 'first')
    this.#call.resume()
  }

  #take(session: WorkSession, { outcomes, extend, leave }: ConsumeRequest): void {
    session.settle(
      outcomes.map((outcome, index) => ({ delivery: Number(outcome.delivery), end: endOf(outcome, index) })),
    )
    session.extend(extend.map(({ delivery }) => Number(delivery)))
    if (leave) session.leave()
  }

  #answer(bytes: Uint8Array, place: 'first' | 'last' = 'last'): void {
    if (this.#isOver) return
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (place === 'first') this.#answers.unshift(buffer)
    else this.#answers.push(buffer)
    this.#answerBytes += buffer.length
    if (this.#answerBytes >= maxAnswerBytes) this.#flush()
    else if (!this.#flushIsDue) {
      this.#flushIsDue = true
      setImmediate(() => {
        this.#flushIsDue = false
        this.#flush()
      })
    }
  }

  /** Encoded messages that follow each other are one message with the fields of all of them. */
  #flush(): void {
    if (this.#answers.length === 0 || this.#isOver) return
    this.#call.write(Buffer.concat(this.#answers))
    this.#answers = []
    this.#answerBytes = 0
  }

  /** @param error null: the worker has ended the stream, or is lost. */
  #finish(error: MillraceError | null): void {
    if (this.#isOver) return
    this.#flush()
    this.#isOver = true
    this.#openCalls.delete(this)
    this.#session?.close()
    if (error !== null) this.#call.emit('error', richStatusOf(error))
    else this.#call.end()
  }
}

const maxHeaderBytes = 48
const noBytes = new Uint8Array(0)

/** An answer with one delivery. */
function encodeDelivery(
  event: Uint8Array,
  receivedAtMicros: number,
  delivery: number,
  attempt: number,
  trace: TraceContext | undefined,
): Buffer {
  const tail = trace === undefined ? noBytes : toBinary(DeliverySchema, create(DeliverySchema, trace))
  const eventBytes = receivedEventLength(event.length, receivedAtMicros)
  const deliveryBytes = 1 + varintLength(eventBytes) + eventBytes + 2 + varintLength(delivery) + varintLength(attempt)
  const bytes = Buffer.allocUnsafe(maxHeaderBytes + deliveryBytes + tail.length)
  // Field 2, deliveries; in it field 1, event.
  bytes[0] = 0x12
  let at = writeVarint(bytes, 1, deliveryBytes + tail.length)
  bytes[at] = 0x0a
  at = writeVarint(bytes, at + 1, eventBytes)
  at = writeReceivedEvent(bytes, at, event, receivedAtMicros)
  // Fields 2 and 3 of the delivery.
  bytes[at] = 0x10
  at = writeVarint(bytes, at + 1, delivery)
  bytes[at] = 0x18
  at = writeVarint(bytes, at + 1, attempt)
  bytes.set(tail, at)
  return bytes.subarray(0, at + tail.length)
}

function decode(bytes: Buffer): ConsumeRequest {
  try {
    return fromBinary(ConsumeRequestSchema, bytes)
  } catch (cause) {
    throw new MillraceError('invalid_event', 'the message is not a valid protobuf message', { cause })
  }
}

function endOf({ end, reply }: Outcome, index: number): WorkEnd {
  switch (end.case) {
    case 'done':
      return { is: 'done', reply }
    case 'returned':
      return { is: 'returned' }
    case 'dead':
      return { is: 'dead', reason: end.value.reason }
    case 'retry':
      return { is: 'retry', afterMs: end.value.after === undefined ? null : millisecondsOf(end.value.after) }
    case 'failed': {
      const { code, message } = end.value
      return { is: 'failed', code: isErrorCode(code) ? code : 'internal', message }
    }
    case undefined:
      throw refusal(`outcomes[${index}].end`, 'is missing: give done, retry, failed, dead or returned')
  }
}

function refusal(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', `${field} ${problem}`, { field })
}
