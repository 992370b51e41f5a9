// Inflates a compressed body chunk by chunk, on demand: while nothing is asked for, nothing is inflated or read.
//
// Job: end damaged, truncated and overlong input with an error, and a bomb before it has inflated far.
// Not its job: what its memory costs others (api/inflate-budget.ts).

import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'

export const encodings = ['gzip', 'deflate', 'br', 'zstd'] as const
export type Encoding = (typeof encodings)[number]

/** Above `freeInflatedBytes`, input that inflates to more times its size is taken for a bomb. */
export const maxInflateRatio = 100
export const freeInflatedBytes = 1024 * 1024

const maxZstdWindowBits = 23
const chunkSize = 64 * 1024

/**
 * The most memory that one inflater takes, in bytes: its window, and what it has inflated ahead. RFC 9659 limits the window of
 * zstd to 8 MiB; that of br ends at 16 MiB (RFC 7932).
 */
export const inflaterBytes: Readonly<Record<Encoding, number>> = {
  gzip: 2 * chunkSize,
  deflate: 2 * chunkSize,
  br: 16 * 1024 * 1024 + 2 * chunkSize,
  zstd: 2 ** maxZstdWindowBits + 2 * chunkSize,
}

/** What is wrong with the input. */
export type InflateProblem = 'damaged' | 'truncated' | 'followed by other bytes' | 'a bomb'

export class InflateError extends Error {
  readonly problem: InflateProblem

  constructor(problem: InflateProblem, options?: ErrorOptions) {
    super(`the compressed input is ${problem}`, options)
    this.problem = problem
  }
}

export class Inflater {
  readonly #source: () => Promise<Buffer | null>
  readonly #stream: ReturnType<typeof createGunzip>
  #takenBytes = 0
  #inflatedBytes = 0
  /** All that was taken is inflated. */
  #isHungry = true
  #failure: unknown = null
  #wake: () => void = () => {}

  /** @param source gives the next compressed bytes, null at their end; what it throws is thrown by `next`. */
  constructor(encoding: Encoding, source: () => Promise<Buffer | null>) {
    this.#source = source
    this.#stream = create(encoding)
    const wake = () => this.#wake()
    this.#stream.on('readable', wake).on('end', wake).on('close', wake)
    this.#stream.on('error', (error) => {
      this.#failure ??= error
      wake()
    })
  }

  /**
   * The next inflated bytes; null at the end, and after `close()`.
   *
   * @throws InflateError
   */
  async next(): Promise<Buffer | null> {
    const stream = this.#stream
    for (;;) {
      const chunk: Buffer | null = stream.read()
      if (chunk !== null) return this.#checked(chunk)
      if (this.#failure !== null) throw this.#problem()
      if (stream.readableEnded) return await this.#end()
      if (stream.destroyed) return null
      if (this.#isHungry) await this.#feed()
      else await this.#anyEvent()
    }
  }

  /** Frees its memory. Idempotent. */
  close(): void {
    this.#stream.destroy()
  }

  #checked(chunk: Buffer): Buffer {
    this.#inflatedBytes += chunk.length
    if (this.#inflatedBytes <= freeInflatedBytes) return chunk
    if (this.#inflatedBytes <= maxInflateRatio * this.#takenBytes) return chunk
    this.close()
    throw new InflateError('a bomb')
  }

  async #feed(): Promise<void> {
    const part = await this.#source()
    this.#isHungry = false
    if (this.#stream.destroyed) return
    if (part === null) {
      this.#stream.end()
      return
    }
    this.#takenBytes += part.length
    this.#stream.write(part, () => {
      this.#isHungry = true
      this.#wake()
    })
  }

  /** The libraries end at the end of what is compressed, whatever follows it. */
  async #end(): Promise<null> {
    if (this.#stream.bytesWritten < this.#takenBytes) throw new InflateError('followed by other bytes')
    if (this.#stream.writableEnded) return null
    for (let part = await this.#source(); part !== null; part = await this.#source()) {
      if (part.length > 0) throw new InflateError('followed by other bytes')
    }
    return null
  }

  #problem(): InflateError {
    const cause = this.#failure
    const { code } = cause as { readonly code?: string }
    return new InflateError(code === 'Z_BUF_ERROR' ? 'truncated' : 'damaged', { cause })
  }

  #anyEvent(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    return promise
  }
}

function create(encoding: Encoding): ReturnType<typeof createGunzip> {
  const options = { chunkSize, highWaterMark: chunkSize }
  switch (encoding) {
    case 'gzip':
      return createGunzip(options)
    case 'deflate':
      return createInflate(options)
    case 'br':
      return createBrotliDecompress(options)
    case 'zstd':
      return createZstdDecompress({ ...options, params: { [constants.ZSTD_d_windowLogMax]: maxZstdWindowBits } })
  }
}
