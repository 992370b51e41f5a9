// Content-Encoding of requests (RFC 9110, 8.4): bodies are inflated while they are read.
//
// Job: which encodings are taken, what is told when a body cannot be inflated, and the memory that it may take.
// Not its job: inflating (lib/inflater.ts), the limits of bodies, which hold for what is inflated (body-chunks.ts).

import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { MillraceError } from '../../errors.ts'
import {
  type Encoding,
  encodings,
  freeInflatedBytes,
  InflateError,
  Inflater,
  inflaterBytes,
  maxInflateRatio,
} from '../../lib/inflater.ts'
import { type InflateBudget, InflateShare } from '../inflate-budget.ts'
import { BodyChunks, type Chunks, decodedBody } from './body-chunks.ts'

const field = 'content-encoding'

/**
 * Has the body of the request inflated when it is read.
 *
 * @throws MillraceError `unsupported_media_type` for another encoding than those that the answer's Accept-Encoding lists.
 */
export function decodeBody({ raw, headers }: FastifyRequest, reply: FastifyReply, budget: InflateBudget): void {
  if (headers[field] === undefined) return
  try {
    const encoding = encodingOf(headers)
    if (encoding === null) return
    const chunks = new InflatedChunks(new BodyChunks(raw), encoding, new InflateShare(budget))
    Object.assign(raw, { [decodedBody]: chunks })
    // A client may be gone while its key was checked.
    if (reply.raw.destroyed) chunks.close()
    else reply.raw.once('close', () => chunks.close())
  } catch (thrown) {
    reply.header('accept-encoding', encodings.join(', '))
    throw thrown
  }
}

/** Null: none. Throws `unsupported_media_type`. */
export function encodingOf(headers: IncomingHttpHeaders): Encoding | null {
  const given = headers[field] ?? 'identity'
  const name = given
    .trim()
    .toLowerCase()
    .replace(/^x-gzip$/, 'gzip')
  if (name === 'identity') return null
  const encoding = encodings.find((each) => each === name)
  if (encoding !== undefined) return encoding
  const problem = `content-encoding ${JSON.stringify(given.slice(0, 80))} is not supported: use one of ${encodings.join(', ')}, or none`
  throw new MillraceError('unsupported_media_type', problem, { field })
}

/** The library that reads forms reads the connection itself. */
export function refuseEncodedForm(headers: IncomingHttpHeaders): void {
  if (encodingOf(headers) === null) return
  const problem = 'a form is taken uncompressed: send the file as the body, which may be compressed'
  throw new MillraceError('unsupported_media_type', problem, { field })
}

class InflatedChunks implements Chunks {
  readonly #body: BodyChunks
  readonly #encoding: Encoding
  readonly #share: InflateShare
  #inflater: Inflater | null = null
  #maxWaitMs = 0
  #stopped = false
  #closed = false

  constructor(body: BodyChunks, encoding: Encoding, share: InflateShare) {
    this.#body = body
    this.#encoding = encoding
    this.#share = share
  }

  /** Errors: those of BodyChunks, `invalid_event` (damaged), `message_too_large` (a bomb), `backlogged` (no memory for it). */
  async next(maxWaitMs: number): Promise<Buffer | null> {
    this.#maxWaitMs = maxWaitMs
    try {
      if (this.#stopped) return null
      this.#inflater ??= this.#begin()
      const chunk = await this.#inflater.next()
      if (chunk === null && this.#closed && !this.#stopped) throw gone()
      return chunk
    } catch (thrown) {
      // Then the end of the compressed bytes was none.
      if (this.#stopped) return null
      throw thrown instanceof InflateError ? this.#failureOf(thrown) : thrown
    }
  }

  stop(): void {
    this.#stopped = true
    this.#body.stop()
  }

  hold(bytes: number): void {
    this.#take(bytes)
  }

  close(): void {
    this.#closed = true
    this.#inflater?.close()
    this.#share.release()
  }

  /** What is taken after the end would never be given back. */
  #take(bytes: number): void {
    if (this.#closed) throw gone()
    this.#share.take(bytes)
  }

  #begin(): Inflater {
    this.#take(inflaterBytes[this.#encoding])
    return new Inflater(this.#encoding, () => this.#body.next(this.#maxWaitMs))
  }

  #failureOf({ problem, cause }: InflateError): MillraceError {
    if (problem !== 'a bomb') {
      const text = `the body is not ${this.#encoding}, as content-encoding says: it is ${problem}`
      return new MillraceError('invalid_event', text, { field, cause })
    }
    const text = `the body inflates to more than ${freeInflatedBytes} bytes and ${maxInflateRatio} times its size: send it uncompressed, or in several requests`
    return new MillraceError('message_too_large', text, { field: 'body' })
  }
}

function gone(): MillraceError {
  return new MillraceError('cancelled', 'the client disconnected in the middle of the body')
}
