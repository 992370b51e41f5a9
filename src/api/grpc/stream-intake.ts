// Reads the messages of one publish stream ahead, within limits, and answers them in the order of the stream.
//
// Job: keep the number of unanswered messages bounded, and stop reading at the limit. Then HTTP/2 flow control slows
// the producer; this is how overflow WAIT works.
// Not its job: how the stream is answered (publish-stream.ts, produce.ts).
//
// It reads from the call itself, not from grpc-js's stream objects: those always read 16 messages of up to 4 MiB ahead.
// It makes one promise per message, none per event.

import type { ServerInterceptingCallInterface } from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../../errors.ts'
import type { TraceContext } from '../../event/trace-context.ts'
import type { Pipeline, PublishMessage, PublishVerdict } from '../../pipeline/pipeline.ts'
import type { HistogramSeries } from '../../telemetry/metric-family.ts'
import { graverOf } from '../call-verdict.ts'
import type { UnansweredBytes } from '../unanswered-bytes.ts'
import { MessageFields } from './message-fields.ts'

export const intakeLimits = {
  /** One commit of the log can take 10 ms, in which a busy producer sends about a thousand messages. */
  maxUnansweredMessages: 4096,
  /** Twice the size of one commit, so that the next is scanned meanwhile. With 8 MiB the rate was 0.95 of this. */
  maxUnansweredBytes: 16 * 1024 * 1024,
  /** Lower, because reading ahead gains nothing while messages wait for room. */
  maxUnansweredBytesWhileWaiting: 4 * 1024 * 1024,
} as const

/** A message that was read. `verdict` or `failure` is set once it is decided; its bytes are not kept here. */
export interface ReadMessage {
  readonly sequence: number
  /** The index of its first event in the call. */
  readonly firstIndex: number
  readonly events: number
  verdict: PublishVerdict | null
  failure: MillraceError | null
}

/** How one kind of stream answers its messages. */
export interface StreamAnswers {
  /** False while too many answers wait to be written to the caller: then nothing more is read. */
  readonly hasRoom: boolean
  /** Whether the messages that were read after one that ends the stream are answered too. */
  readonly answersAll: boolean
  /**
   * The number of a message, for numbered messages. An error that it throws ends the stream after all earlier messages.
   */
  identify(fields: MessageFields): PublishMessage['producer']
  /** Called with each decided message, in order. An error that it returns ends the stream: nothing more is read. */
  answer(message: ReadMessage): MillraceError | null
  /** Called once per turn of the event loop in which messages were answered. */
  flush(): void
  /** The stream is over; nothing is called afterwards. Null: the producer has finished and everything is answered. */
  end(failure: MillraceError | null): void
}

export interface IntakeParts {
  readonly unansweredBytes: UnansweredBytes
  readonly publishDuration: HistogramSeries
}

export class StreamIntake {
  readonly #call: ServerInterceptingCallInterface
  readonly #parts: IntakeParts
  readonly #answers: StreamAnswers
  readonly #fields = new MessageFields()
  readonly #closed = new AbortController()
  #pipeline: Pipeline | null = null
  #trace: TraceContext | undefined

  /** The unanswered messages begin at `#head`; everything before is null. */
  readonly #messages: (ReadMessage | null)[] = []
  #head = 0
  #unansweredBytes = 0
  /** How many unanswered messages wait for room. */
  #waiting = 0
  #nextIndex = 0
  /** Ends the stream after all messages were answered: why nothing more is read. */
  #lastFailure: MillraceError | null = null
  #readIsPending = false
  #readIsRunning = false
  #producerHasEnded = false
  #flushIsDue = false
  #over = false

  constructor(call: ServerInterceptingCallInterface, parts: IntakeParts, answers: StreamAnswers) {
    this.#call = call
    this.#parts = parts
    this.#answers = answers
  }

  /** Starts reading. @param pipeline as the caller may use it. @param trace that of the call, and so of each message. */
  begin(pipeline: Pipeline, trace: TraceContext | undefined): void {
    this.#pipeline = pipeline
    this.#trace = trace
    this.readMore()
  }

  /** Resumes reading when there is room again. */
  readMore(): void {
    // The next message can arrive while startRead() runs: then this loop reads on, without recursion.
    if (this.#readIsRunning) return
    this.#readIsRunning = true
    while (this.#mayRead()) {
      this.#readIsPending = true
      this.#call.startRead()
    }
    this.#readIsRunning = false
  }

  receive(bytes: Buffer): void {
    this.#readIsPending = false
    if (this.#over || this.#lastFailure !== null) return
    try {
      this.#publish(bytes)
    } catch (error) {
      this.#stopReading(toMillraceError(error))
    }
    this.readMore()
  }

  receiveEnd(): void {
    this.#readIsPending = false
    this.#producerHasEnded = true
    this.#answerInOrder()
  }

  /** A message cannot be read: answers those before it, then ends the stream. */
  refuse(failure: MillraceError): void {
    this.#stopReading(failure)
  }

  /** The server is stopping: answers what was read, then ends the stream. */
  drain(): void {
    if (this.#producerHasEnded) return
    this.#stopReading(new MillraceError('draining', 'the server is stopping: reconnect and resend what is unanswered'))
  }

  /** The call has ended: no answer is sent any more, and its messages stop waiting for room. */
  close(): void {
    this.#over = true
    this.#parts.unansweredBytes.forget(this)
    this.#closed.abort()
  }

  #mayRead(): boolean {
    if (this.#readIsPending || this.#over || this.#producerHasEnded || this.#lastFailure !== null) return false
    if (!this.#answers.hasRoom) return false
    const unanswered = this.#messages.length - this.#head
    if (unanswered === 0) return true
    if (unanswered >= intakeLimits.maxUnansweredMessages) return false
    const { maxUnansweredBytes, maxUnansweredBytesWhileWaiting } = intakeLimits
    if (this.#unansweredBytes >= (this.#waiting > 0 ? maxUnansweredBytesWhileWaiting : maxUnansweredBytes)) return false
    return this.#parts.unansweredBytes.hasRoomFor(this)
  }

  #publish(bytes: Buffer): void {
    const { topic, overflow, events, sequence } = this.#fields.read(bytes)
    const producer = this.#answers.identify(this.#fields)
    const startedAt = performance.now()
    let waits = false
    const onWait = () => {
      if (!waits) this.#waiting++
      waits = true
    }
    const verdict = this.#pipeline!.publish(
      { topic, overflow, message: bytes, producer, trace: this.#trace },
      overflow === 'wait' ? { signal: this.#closed.signal, onWait } : undefined,
    )
    const message: ReadMessage = { sequence, firstIndex: this.#nextIndex, events, verdict: null, failure: null }
    this.#nextIndex += events
    this.#messages.push(message)
    const byteLength = bytes.length
    this.#unansweredBytes += byteLength
    this.#parts.unansweredBytes.take(byteLength)
    const settle = () => {
      this.#parts.publishDuration.observe((performance.now() - startedAt) / 1000)
      this.#unansweredBytes -= byteLength
      if (waits) this.#waiting--
      if (message === this.#messages[this.#head]) this.#answerInOrder()
      this.#parts.unansweredBytes.release(byteLength)
      this.readMore()
    }
    verdict.then(
      (answer) => {
        message.verdict = answer
        settle()
      },
      (error: unknown) => {
        message.failure = toMillraceError(error)
        settle()
      },
    )
  }

  #answerInOrder(): void {
    if (this.#over) return
    const end = this.#answerDecided()
    if (end !== undefined) this.#end(end)
    else this.#flushSoon()
  }

  /**
   * Answers decided messages in order. Returns the error that ends the stream, null for success, undefined to continue.
   */
  #answerDecided(): MillraceError | null | undefined {
    for (let message = this.#messages[this.#head]; message; message = this.#messages[this.#head]) {
      if (message.verdict === null && message.failure === null) break
      const failure = this.#answers.answer(message)
      if (failure !== null && !this.#answers.answersAll) return failure
      if (failure !== null) this.#endAfterAll(failure)
      this.#messages[this.#head++] = null
    }
    if (this.#head === this.#messages.length) {
      this.#messages.length = 0
      this.#head = 0
      if (this.#lastFailure !== null) return this.#lastFailure
      if (this.#producerHasEnded) return null
    } else if (this.#head >= intakeLimits.maxUnansweredMessages) {
      this.#messages.splice(0, this.#head)
      this.#head = 0
    }
    return undefined
  }

  /** The verdicts of one commit arrive in one turn of the event loop and are flushed together. */
  #flushSoon(): void {
    if (this.#flushIsDue) return
    this.#flushIsDue = true
    setImmediate(() => {
      this.#flushIsDue = false
      if (!this.#over) this.#answers.flush()
    })
  }

  /**
   * Ends the waits for room only when an outcome is unknown. With another failure the messages that wait keep waiting,
   * because they are good and come before it; a stop ends their waits in the pipeline.
   */
  #endAfterAll(failure: MillraceError): void {
    this.#lastFailure = graverOf(this.#lastFailure, failure)
    if (failure.outcomeUnknown) this.#closed.abort()
  }

  #stopReading(failure: MillraceError): void {
    if (this.#lastFailure !== null || this.#over) return
    this.#lastFailure = failure
    this.#answerInOrder()
  }

  #end(failure: MillraceError | null): void {
    this.#over = true
    this.#parts.unansweredBytes.forget(this)
    this.#answers.end(failure)
  }
}
