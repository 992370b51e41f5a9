// The bytes of one upload on their way to the disk.
//
// Job: hash them, write them while the next ones arrive, and flush them again and again: then the end of a large upload
// does not wait for all of it, and the uploader can see how much is safe.
//
// What arrives during a write is the next write, so a slow disk gets large writes. What is held is bounded by `maxHeld`.

import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { MillraceError } from '../errors.ts'
import type { UploadState } from '../pipeline/files.ts'
import type { DeclaredContent, FileContent } from './file-store.ts'

/** Larger steps leave more for the flush at the end; smaller ones cost throughput. */
const flushEveryBytes = 16 * 1024 * 1024
/** A disk that flushes more slowly than it takes writes is waited for. */
const maxUnflushedBytes = 64 * 1024 * 1024

export class PartialFile {
  readonly path: string
  readonly #handle: FileHandle
  readonly #maxHeldBytes: () => number
  readonly #hash = createHash('sha256')
  #received = 0
  #written = 0
  #flushed = 0
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  /** Null while nothing is to be written. Neither promise rejects: a failure is kept. */
  #writing: Promise<void> | null = null
  #flushing: Promise<void> | null = null
  #failure: unknown = null
  #onRoom: (() => void) | null = null

  /** @param maxHeldBytes how many bytes may wait for the write that runs. */
  static async create(path: string, maxHeldBytes: () => number): Promise<PartialFile> {
    return new PartialFile(path, await open(path, 'wx'), maxHeldBytes)
  }

  private constructor(path: string, handle: FileHandle, maxHeldBytes: () => number) {
    this.path = path
    this.#handle = handle
    this.#maxHeldBytes = maxHeldBytes
  }

  get state(): UploadState {
    return { received: this.#received, synced: this.#flushed }
  }

  /** Resolves when there is room for the next chunk. Rejects with the error of an earlier write. */
  async append(offset: number, chunk: Uint8Array): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    if (offset !== this.#received) {
      const text = `the next byte of the upload is ${this.#received}, not ${offset}`
      throw new MillraceError('failed_precondition', text, { field: 'offset' })
    }
    this.#hash.update(chunk)
    this.#received += chunk.length
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
    this.#writing ??= this.#write()
    if (this.#waitingBytes < this.#maxHeldBytes()) return
    await new Promise<void>((resolve) => {
      this.#onRoom = resolve
    })
  }

  /** Flushes everything. Errors: `invalid_event` (not as declared), those of the file system. */
  async finish(declared: DeclaredContent): Promise<FileContent> {
    await this.#writing
    await this.#flushing
    if (this.#failure !== null) throw this.#failure
    const content = { size: this.#received, sha256: this.#hash.digest('hex') }
    for (const field of ['size', 'sha256'] as const) {
      const [is, was] = [content[field], declared[field]]
      if (was !== null && was !== is) throw differs(field, `${field} of the file is ${is}, declared was ${was}`)
    }
    await this.#handle.sync()
    this.#flushed = this.#received
    return content
  }

  async close(): Promise<void> {
    await this.#writing
    await this.#flushing
    await this.#handle.close().catch(() => {})
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const chunks = this.#waiting
        const bytes = this.#waitingBytes
        this.#waiting = []
        this.#waitingBytes = 0
        this.#wake()
        await this.#writeAll(chunks, bytes)
        if (this.#written - this.#flushed >= maxUnflushedBytes) await this.#flushing
      }
    } catch (thrown) {
      this.#failure ??= thrown
      this.#waiting = []
    }
    this.#writing = null
    this.#wake()
  }

  async #writeAll(chunks: readonly Uint8Array[], bytes: number): Promise<void> {
    let { bytesWritten } = await this.#handle.writev(chunks, this.#written)
    if (bytesWritten < bytes) {
      // The rest after a short write, as before a full disk.
      const whole = Buffer.concat(chunks)
      while (bytesWritten < bytes) {
        const written = await this.#handle.write(
          whole,
          bytesWritten,
          bytes - bytesWritten,
          this.#written + bytesWritten,
        )
        bytesWritten += written.bytesWritten
      }
    }
    this.#written += bytes
    if (this.#written - this.#flushed >= flushEveryBytes) this.#flushing ??= this.#flush()
  }

  async #flush(): Promise<void> {
    const through = this.#written
    try {
      await this.#handle.datasync()
      this.#flushed = through
    } catch (thrown) {
      // What a failed flush has not written, a later one does not write either.
      this.#failure ??= thrown
    }
    this.#flushing = null
  }

  #wake(): void {
    this.#onRoom?.()
    this.#onRoom = null
  }
}

function differs(field: string, text: string): MillraceError {
  return new MillraceError('invalid_event', `${text}: send the file again`, { field })
}
