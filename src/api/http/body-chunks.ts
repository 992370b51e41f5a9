// Reads a request's body chunk by chunk, on demand: while nothing is read, TCP flow control slows the client.
//
// Size and time of bodies are limited here because the libraries do neither for a streamed body.

import type { IncomingMessage } from 'node:http'
import { MillraceError } from '../../errors.ts'
import { askForBody } from './expect-continue.ts'
import { bodyBroken, type Request } from './open-requests.ts'

export interface Chunks {
  /**
   * The next chunk; null at the end, and after `stop()`.
   *
   * @throws MillraceError `deadline_exceeded` (field `body`) when nothing arrives within `maxWaitMs`, `invalid_event`
   *   when the body broke off, `cancelled` when the client has disconnected.
   */
  next(maxWaitMs: number): Promise<Buffer | null>
  /** Stops reading the body; a waiting `next()` returns null. */
  stop(): void
  /** Called for bytes that are kept until the answer. Throws when there is no room for them. */
  hold(bytes: number): void
}

/** The property of a request with another form of its body than the bytes that arrive. */
export const decodedBody = Symbol('decodedBody')

const receivedBytes = Symbol('receivedBytes')

/** How many bytes of the body were read, as they arrived. */
export function receivedBytesOf(request: IncomingMessage & { [receivedBytes]?: number }): number {
  return request[receivedBytes] ?? 0
}

/** The body of a request, decoded. */
export function chunksOf(request: IncomingMessage & { [decodedBody]?: Chunks }): Chunks {
  return request[decodedBody] ?? new BodyChunks(request)
}

export class BodyChunks implements Chunks {
  readonly #request: Request & { [receivedBytes]?: number }
  #stopped = false
  #wake: () => void = () => {}

  constructor(request: IncomingMessage) {
    this.#request = request
  }

  async next(maxWaitMs: number): Promise<Buffer | null> {
    const request = this.#request
    askForBody(request)
    const until = performance.now() + maxWaitMs
    for (;;) {
      if (this.#stopped) return null
      const chunk: Buffer | null = request.read()
      if (chunk !== null) {
        request[receivedBytes] = receivedBytesOf(request) + chunk.length
        return chunk
      }
      if (request.readableEnded) return null
      if (request[bodyBroken] !== undefined) throw request[bodyBroken]
      if (request.destroyed) throw new MillraceError('cancelled', 'the client disconnected in the middle of the body')
      const leftMs = until - performance.now()
      if (leftMs <= 0) {
        const problem = `the rest of the body did not arrive within ${Math.round(maxWaitMs / 1000)} s`
        throw new MillraceError('deadline_exceeded', problem, { field: 'body' })
      }
      await this.#anyEvent(leftMs)
    }
  }

  stop(): void {
    this.#stopped = true
    this.#wake()
  }

  /** As many bytes have arrived. */
  hold(): void {}

  #anyEvent(maxWaitMs: number): Promise<void> {
    const request = this.#request
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, maxWaitMs)
    const events = ['readable', 'end', 'error', 'close', bodyBroken]
    const wake = () => {
      clearTimeout(timer)
      for (const event of events) request.off(event, wake)
      resolve()
    }
    for (const event of events) request.on(event, wake)
    this.#wake = wake
    return promise.then(wake)
  }
}

/**
 * Reads a whole body of at most `maxBytes` within `maxMs`.
 *
 * @throws MillraceError `message_too_large` (field `body`), and the errors of `next`.
 */
export async function readBody(
  request: IncomingMessage,
  maxBytes: number,
  maxMs: number,
  advice = 'send several requests, or NDJSON',
): Promise<Buffer> {
  const tooLarge = () => {
    const problem = `the body is larger than ${maxBytes} bytes: ${advice}`
    return new MillraceError('message_too_large', problem, { field: 'body' })
  }
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge()
  const chunks = chunksOf(request)
  const until = performance.now() + maxMs
  const parts: Buffer[] = []
  let length = 0
  for (;;) {
    const chunk = await chunks.next(until - performance.now())
    if (chunk === null) return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    length += chunk.length
    if (length > maxBytes) throw tooLarge()
    chunks.hold(chunk.length)
    parts.push(chunk)
  }
}
