// FileService.Upload: the messages of one call, as the header and the chunks of a file.
//
// It reads from the call itself, not from grpc-js's stream objects: those read 16 messages ahead, each of up to 4 MiB. While
// nothing is read, HTTP/2 flow control slows the client.

import { fromBinary } from '@bufbuild/protobuf'
import { type Metadata, ServerInterceptingCall } from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../../errors.ts'
import { type UploadRequest, UploadRequestSchema } from '../../gen/millrace/v1/file_pb.ts'
import { withinMs } from '../../lib/abort.ts'
import { fileHeader, storedFile } from '../../wire/files.ts'
import type { OpenCall, OpenCalls } from '../open-calls.ts'
import { grpcStatus } from '../status.ts'
import type { GuardedCall } from './guarded-call.ts'
import { richStatusOf } from './rich-status.ts'

const maxChunkBytes = 256 * 1024
/** The next chunk is there when the last one is written. */
const maxChunksAhead = 2
/** Part of the caller's deadline that is reserved for the answer itself. */
const deadlineMarginMs = 100

export class UploadCall extends ServerInterceptingCall implements AsyncIterableIterator<Uint8Array>, OpenCall {
  readonly #call: GuardedCall
  readonly #openCalls: OpenCalls
  readonly #defaultDeadlineMs: number
  readonly #gone = new AbortController()
  readonly #ahead: (Buffer | MillraceError | null)[] = []
  #isReading = false
  #hasEnded = false
  #wake: () => void = () => {}

  /** @param defaultDeadlineMs how long the header, and the analysis without a deadline of the call, may take. */
  constructor(call: GuardedCall, openCalls: OpenCalls, defaultDeadlineMs: number) {
    super(call)
    this.#call = call
    this.#openCalls = openCalls
    this.#defaultDeadlineMs = defaultDeadlineMs
    call.onRefusedMessage = () => this.#receive(chunkTooLarge())
  }

  override start(): void {
    this.#call.start({
      onReceiveMetadata: (metadata) => void this.#run(metadata),
      onReceiveMessage: (message: Buffer) => this.#receive(message),
      onReceiveHalfClose: () => this.#receive(null),
      // Called at every end of a call, also after success.
      onCancel: () => this.#gone.abort(),
    })
  }

  /** Ends a call without a header: those that have one end with their upload. */
  drain(): void {
    this.#receive(new MillraceError('draining', 'the server is stopping: reconnect'))
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** The next chunk. Errors: `invalid_event`. */
  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const request = await this.#nextRequest()
    if (request === null) return { done: true, value: undefined }
    const { case: name, value } = request.part
    if (name === 'header') throw refusal('header', 'is given again: only the first message has it')
    if (name === undefined) throw refusal('part', 'is missing: give a chunk')
    if (value.length > maxChunkBytes) throw chunkTooLarge()
    return { done: false, value }
  }

  async #run(metadata: Metadata): Promise<void> {
    try {
      const { analysisWithinMs, ...header } = await this.#readHeader()
      const [traceparent] = metadata.get('traceparent')
      const file = await this.#call.caller!.pipeline.files.upload(header, this, {
        traceparent: traceparent?.toString(),
        analysisWithinMs: () => analysisWithinMs ?? this.#leftMs(),
        signal: this.#gone.signal,
      })
      this.#call.sendMessage(storedFile.toMessage(file), () => {
        this.#call.sendStatus({ code: grpcStatus.OK, details: 'OK', metadata: null })
      })
    } catch (thrown) {
      // A call that is gone takes no status.
      if (!this.#gone.signal.aborted) this.#call.sendStatus(richStatusOf(toMillraceError(thrown)))
    }
  }

  async #readHeader() {
    this.#openCalls.add(this)
    const first = await withinMs(this.#nextRequest(), this.#defaultDeadlineMs, undefined).finally(() =>
      this.#openCalls.delete(this),
    )
    if (first === undefined) throw new MillraceError('deadline_exceeded', 'no header has come', { field: 'header' })
    if (first?.part.case !== 'header') throw refusal('header', 'is missing: the first message of an upload has it')
    return fileHeader.ofMessage(first.part.value)
  }

  /** Null at the end. */
  async #nextRequest(): Promise<UploadRequest | null> {
    this.#readMore()
    while (this.#ahead.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const next = this.#ahead.shift()!
    this.#readMore()
    if (next instanceof MillraceError) throw next
    return next === null ? null : decode(next)
  }

  #readMore(): void {
    if (this.#isReading || this.#hasEnded || this.#ahead.length >= maxChunksAhead) return
    this.#isReading = true
    this.#call.startRead()
  }

  #receive(part: Buffer | MillraceError | null): void {
    this.#isReading = false
    this.#hasEnded ||= !Buffer.isBuffer(part)
    this.#ahead.push(part)
    this.#wake()
    this.#readMore()
  }

  #leftMs(): number {
    const deadline = this.#call.getDeadline()
    const at = deadline instanceof Date ? deadline.getTime() : deadline
    return at === Number.POSITIVE_INFINITY ? this.#defaultDeadlineMs : at - Date.now() - deadlineMarginMs
  }
}

function decode(bytes: Buffer): UploadRequest {
  try {
    return fromBinary(UploadRequestSchema, bytes)
  } catch (cause) {
    throw new MillraceError('invalid_event', 'the message is not a valid protobuf message', { cause })
  }
}

function chunkTooLarge(): MillraceError {
  return refusal('chunk', `has more than ${maxChunkBytes} bytes: send smaller ones`)
}

function refusal(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', `${field} ${problem}`, { field })
}
