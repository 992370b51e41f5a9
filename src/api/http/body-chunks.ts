// Reads a request's body piece by piece, as the reader asks for it: what is not asked for is not read, so TCP slows the
// client.
//
// Bodies are counted and timed here because the libraries do neither for a body that is streamed.

import type { IncomingMessage } from 'node:http'
import { MillraceError } from '../../errors.ts'

export class BodyChunks {
  readonly #request: IncomingMessage
  #stopped = false
  #wake: () => void = () => {}

  constructor(request: IncomingMessage) {
    this.#request = request
  }

  /**
   * The next piece, or null at the end, and after `stop()`.
   *
   * @throws MillraceError `deadline_exceeded` about `body` when nothing comes for that long, `cancelled` when the client is
   *   gone.
   */
  async next(maxWaitMs: number): Promise<Buffer | null> {
    const request = this.#request
    const until = performance.now() + maxWaitMs
    for (;;) {
      if (this.#stopped) return null
      const chunk: Buffer | null = request.read()
      if (chunk !== null) return chunk
      if (request.readableEnded) return null
      if (request.destroyed) throw new MillraceError('cancelled', 'the client has gone in the middle of the body')
      const leftMs = until - performance.now()
      if (leftMs <= 0) {
        const problem = `no more of the body came within ${Math.round(maxWaitMs / 1000)} s`
        throw new MillraceError('deadline_exceeded', problem, { field: 'body' })
      }
      await this.#somethingHappens(leftMs)
    }
  }

  /** Nothing more of the body is wanted: ends a `next()` that waits, too. */
  stop(): void {
    this.#stopped = true
    this.#wake()
  }

  #somethingHappens(maxWaitMs: number): Promise<void> {
    const request = this.#request
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, maxWaitMs)
    const events = ['readable', 'end', 'error', 'close']
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
 * A whole body of at most `maxBytes`, all of it within `maxMs`.
 *
 * @throws MillraceError `message_too_large` about `body`, and what `next` throws.
 */
export async function readBody(request: IncomingMessage, maxBytes: number, maxMs: number): Promise<Buffer> {
  const tooLarge = () =>
    new MillraceError('message_too_large', `the body is larger than ${maxBytes} bytes: send less in each, or NDJSON`, {
      field: 'body',
    })
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge()
  const chunks = new BodyChunks(request)
  const until = performance.now() + maxMs
  const parts: Buffer[] = []
  let length = 0
  for (;;) {
    const chunk = await chunks.next(until - performance.now())
    if (chunk === null) return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    length += chunk.length
    if (length > maxBytes) throw tooLarge()
    parts.push(chunk)
  }
}
