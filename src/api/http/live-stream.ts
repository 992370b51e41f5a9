// A subscription as an answer that does not end: each frame is written when the operating system has taken the one
// before, so what a slow client has not taken waits in the bounded buffer of its subscription, not here.
//
// The answer ends with its connection and has no chunks: then every subscriber gets the same bytes, as they are, and a
// client of HTTP/1.0 too.

import type { ServerResponse } from 'node:http'
import { type MillraceError, toMillraceError } from '../../errors.ts'
import type { LiveSubscription } from '../../pipeline/live.ts'
import type { OpenCall } from '../open-calls.ts'
import { liveProblemOf } from './live-problem.ts'
import { SseEncoder, sseComment, sseProblem, sseStart } from './server-sent-events.ts'

/** For a stopping server to send what waits. A client that has not taken it then is cut off. */
const maxFarewellMs = 2_000

/** How often, in the longest silence, streams are looked through for one that has lasted so long. */
const checksInSilence = 15

export interface LiveStream {
  readonly response: ServerResponse
  readonly subscription: LiveSubscription
  readonly topic: string
  /** Called before the answer ends. */
  readonly onFailure: (error: MillraceError) => void
}

interface OpenStream {
  readonly response: ServerResponse
  readonly subscription: LiveSubscription
  lastWriteMs: number
}

export class LiveStreams implements OpenCall {
  readonly #encoder = new SseEncoder()
  readonly #open = new Set<OpenStream>()
  readonly #maxSilenceMs: number
  #timer: NodeJS.Timeout | null = null

  /** @param maxSilenceMs a client or a proxy that hears nothing for longer may give the connection up. */
  constructor(maxSilenceMs: number) {
    this.#maxSilenceMs = maxSilenceMs
  }

  /** Sends the frames of the subscription until it ends, or the connection. Its failure is the last thing that is sent. */
  async send({ response, subscription, topic, onFailure }: LiveStream): Promise<void> {
    const stream = { response, subscription, lastWriteMs: performance.now() }
    this.#add(stream)
    try {
      response.write(sseStart)
      for (;;) {
        const frame = await subscription.next()
        if (frame === null) break
        await written(response, this.#encoder.encode(frame, topic))
        stream.lastWriteMs = performance.now()
      }
    } catch (thrown) {
      const problem = liveProblemOf(toMillraceError(thrown))
      onFailure(problem.error)
      response.write(sseProblem(problem))
    } finally {
      subscription.close()
      this.#delete(stream)
      response.end()
    }
  }

  /** The feed itself says goodbye. */
  drain(): void {
    const cutOff = () => {
      for (const { response, subscription } of this.#open) {
        // First: what waits would be encoded for nobody, in one turn of the event loop.
        subscription.close()
        response.destroy()
      }
    }
    setTimeout(cutOff, maxFarewellMs).unref()
  }

  #add(stream: OpenStream): void {
    this.#open.add(stream)
    this.#timer ??= setInterval(() => this.#breakSilence(), this.#maxSilenceMs / checksInSilence).unref()
  }

  #delete(stream: OpenStream): void {
    this.#open.delete(stream)
    if (this.#open.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  #breakSilence(): void {
    const nowMs = performance.now()
    for (const stream of this.#open) {
      if (nowMs - stream.lastWriteMs < this.#maxSilenceMs) continue
      stream.lastWriteMs = nowMs
      // A client that does not read has its last bytes still to come.
      if (stream.response.writableLength === 0) stream.response.write(sseComment)
    }
  }
}

/** Resolves when the operating system has the bytes, or the connection is gone. */
function written(response: ServerResponse, bytes: Buffer): Promise<unknown> {
  return new Promise((resolve) => response.write(bytes, resolve))
}
