// Reads the chunks of one upload, one at a time, until nothing comes or something ends it.

import { MillraceError } from '../errors.ts'

export interface ReaderEnd {
  readonly signal: AbortSignal
  readonly error: () => MillraceError
}

export class ChunkReader {
  readonly #iterator: AsyncIterator<Uint8Array>
  readonly #idleMs: number
  readonly #ends: readonly ReaderEnd[]
  readonly #onEnd = () => this.#fail(this.#endError()!)
  readonly #idle: NodeJS.Timeout
  #isWaiting = false
  #fail: (error: MillraceError) => void = () => {}

  /** @param idleMs longest wait for a chunk. The timer is one for all chunks, because a chunk takes some microseconds. */
  constructor(chunks: AsyncIterable<Uint8Array>, idleMs: number, ends: readonly ReaderEnd[]) {
    this.#iterator = chunks[Symbol.asyncIterator]()
    this.#idleMs = idleMs
    this.#ends = ends
    for (const { signal } of ends) signal.addEventListener('abort', this.#onEnd)
    this.#idle = setTimeout(() => this.#onIdle(), idleMs)
  }

  /**
   * The next chunk; null at the end. Errors: `deadline_exceeded` (nothing came in time), those of the ends, those of the
   * source.
   */
  next(): Promise<Uint8Array | null> {
    return new Promise((resolve, reject) => {
      const ended = this.#endError()
      if (ended !== null) return reject(ended)
      this.#fail = reject
      this.#isWaiting = true
      this.#idle.refresh()
      this.#iterator.next().then(({ done, value }) => {
        this.#isWaiting = false
        resolve(done === true ? null : value)
      }, reject)
    })
  }

  /** Ends the source too. Idempotent. */
  close(): void {
    clearTimeout(this.#idle)
    for (const { signal } of this.#ends) signal.removeEventListener('abort', this.#onEnd)
    // Not awaited: a generator that waits for its client would end only with it.
    this.#iterator.return?.().catch(() => {})
  }

  #endError(): MillraceError | null {
    return this.#ends.find(({ signal }) => signal.aborted)?.error() ?? null
  }

  #onIdle(): void {
    // The disk is slow, not the client.
    if (!this.#isWaiting) return
    const text = `nothing of the file has come for ${this.#idleMs} ms (MILLRACE_UPLOAD_IDLE_MS): send it again`
    this.#fail(new MillraceError('deadline_exceeded', text, { field: 'body' }))
  }
}
