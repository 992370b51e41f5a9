// Uploads and downloads of files: the walk of each, with its limits.
//
// Job: check what is declared, reserve room for it, hand the chunks to the file store, store what is known of the file,
// ask for its analysis.
// Not its job: the bytes on the disk (file-store.ts), the forms of a call (api/).

import { MillraceError, toMillraceError } from '../errors.ts'
import { EventIdGenerator, isUuid } from '../event/event.ts'
import type { ByteRange } from '../lib/file-chunks.ts'
import type { FileDescription, FileHeader, Files, UploadOptions, UploadState } from '../pipeline/files.ts'
import type { EventStore } from '../store/event-store.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { traceFields } from '../telemetry/trace-context.ts'
import { checkHeader } from './check-header.ts'
import { ChunkReader } from './chunk-reader.ts'
import type { DeclaredContent, FileContent, FileStore } from './file-store.ts'

export interface UploadLimits {
  readonly fileMaxBytes: number
  /** Limit for all files together. */
  readonly filesMaxBytes: number
  readonly uploadsMax: number
  readonly uploadIdleMs: number
  readonly diskReserveBytes: number
}

/**
 * Asks for the analysis of a file: JSON text; null when there is none within the time, or nobody makes one. May reject.
 */
export type Analyze = (
  file: Pick<FileDescription, 'fileId' | 'sha256'>,
  options: { readonly withinMs: number; readonly traceparent: string | undefined; readonly signal: AbortSignal },
) => Promise<string | null>

export interface UploadParts {
  readonly fileStore: FileStore
  readonly store: Pick<EventStore, 'saveFile' | 'file'>
  readonly limits: UploadLimits
  readonly analyze: Analyze
  readonly logger: Logger
  readonly metrics: Metrics
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

/** An upload that runs. */
interface Running {
  readonly fileId: string
  receivedBytes: number
  /** What was declared, or has come beyond that. */
  reservedBytes: number
}

/** How much of an upload is written between two looks at the free space of the disk. */
const lookEveryBytes = 8 * 1024 * 1024
const retryAfterMs = 1000

export class Uploads implements Files {
  readonly #parts: UploadParts
  readonly #ids = new EventIdGenerator()
  readonly #running = new Set<Running>()
  /** Sum over all that run. */
  #reservedBytes = 0
  readonly #draining = new AbortController()
  readonly #stopping = new AbortController()
  #onIdle: () => void = () => {}

  constructor(parts: UploadParts) {
    this.#parts = parts
  }

  async upload(
    header: FileHeader,
    chunks: AsyncIterable<Uint8Array>,
    options: UploadOptions,
  ): Promise<FileDescription> {
    const { logger, metrics, monotonicNow } = this.#parts
    const startedAtMs = monotonicNow()
    const fileId = isUuid(header.fileId) ? header.fileId.toLowerCase() : this.#ids.next()
    const upload: Running = { fileId, receivedBytes: 0, reservedBytes: 0 }
    const fields = () => ({
      file_id: fileId,
      ...traceFields(options.traceparent),
      size: upload.receivedBytes,
      duration_ms: Math.round(monotonicNow() - startedAtMs),
    })
    try {
      const stored = await this.#take(upload, header, chunks, options)
      const analysis = await this.#analysisOf(stored, options)
      metrics.uploads.add(1, { code: 'ok' })
      logger.info({ ...fields(), sha256: stored.sha256, is_analyzed: analysis !== null }, 'file stored')
      return { ...stored, analysis }
    } catch (thrown) {
      const error = toMillraceError(thrown)
      metrics.uploads.add(1, { code: error.code })
      const line = { ...fields(), code: error.code, reason: error.message }
      if (error.code === 'internal') logger.error({ ...line, error: error.cause }, 'upload failed')
      else logger.warn(error.cause === undefined ? line : { ...line, error: error.cause }, 'upload refused')
      throw error
    }
  }

  async uploadState(fileId: string): Promise<UploadState> {
    const id = fileId.toLowerCase()
    const state = this.#parts.fileStore.state(id)
    if (state !== null) return state
    // It waits for the disk or the database before its first byte.
    if ([...this.#running].some((upload) => upload.fileId === id)) return { received: 0, synced: 0 }
    throw notFound(`no upload of file ${shown(fileId)} runs in this process`)
  }

  async file(fileId: string): Promise<FileDescription> {
    const file = isUuid(fileId) ? await this.#parts.store.file(fileId.toLowerCase()) : null
    if (file === null) throw notFound(`there is no file ${shown(fileId)}`)
    return file
  }

  async *download(
    fileId: string,
    { signal, range }: { readonly signal?: AbortSignal; readonly range?: ByteRange | undefined } = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { fileId: id, size } = await this.file(fileId)
    const stored = await this.#parts.fileStore.read(id, range)
    if (stored === null) {
      const text = `the bytes of file ${id} are missing here: do all processes have the same MILLRACE_FILES_DIR?`
      throw new MillraceError('corrupt', text)
    }
    // Another program has changed it.
    if (stored.size !== size) {
      stored.close()
      throw new MillraceError('corrupt', `file ${id} has ${stored.size} bytes; ${size} were stored`)
    }
    try {
      for await (const chunk of stored.chunks) {
        signal?.throwIfAborted()
        yield chunk
      }
    } catch (thrown) {
      if (!(thrown instanceof Error) || !('syscall' in thrown)) throw thrown
      throw new MillraceError('unavailable', 'the file cannot be read', { cause: thrown })
    }
  }

  /** Takes no new upload. Those that run may go on for `graceMs`; then they end with `draining`. Resolves when none runs. */
  async drain(graceMs: number): Promise<void> {
    this.#draining.abort()
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve
    })
    if (this.#running.size === 0) return
    const timer = setTimeout(() => this.#stopping.abort(), graceMs)
    await idle
    clearTimeout(timer)
  }

  /** From the first byte to the stored file. */
  async #take(
    upload: Running,
    header: FileHeader,
    chunks: AsyncIterable<Uint8Array>,
    { signal }: UploadOptions,
  ): Promise<FileDescription> {
    const { fileStore, limits } = this.#parts
    const reader = new ChunkReader(chunks, limits.uploadIdleMs, [
      { signal: this.#stopping.signal, error: draining },
      ...(signal === undefined ? [] : [{ signal, error: cancelled }]),
    ])
    try {
      if (this.#draining.signal.aborted) throw draining()
      const declared = checkHeader(header)
      if (this.#running.size >= limits.uploadsMax) {
        const text = `${limits.uploadsMax} uploads run at once (MILLRACE_UPLOADS_MAX): try again later`
        throw new MillraceError('backlogged', text, { retryAfterMs })
      }
      this.#running.add(upload)
      // What is stored is counted by then.
      await fileStore.freeBytes()
      this.#reserve(upload, declared.size ?? 0)
      await this.#refuseFullDisk()
      // The store is asked before any byte is taken: what is known of the file must be stored at its end.
      const known = await this.#parts.store.file(upload.fileId)
      // A row alone is that of an upload whose answer from the database was lost.
      if (known !== null && (await fileStore.has(upload.fileId))) {
        throw new MillraceError('already_exists', `there is a file with this id: ${upload.fileId}`, {
          field: 'file_id',
        })
      }
      await fileStore.create(upload.fileId)
      try {
        await this.#receive(upload, declared, reader)
        return await this.#complete(upload, header, declared)
      } finally {
        await fileStore.cancel(upload.fileId)
      }
    } finally {
      reader.close()
      this.#running.delete(upload)
      this.#reservedBytes -= upload.reservedBytes
      if (this.#running.size === 0) this.#onIdle()
    }
  }

  async #receive(upload: Running, { size }: DeclaredContent, reader: ChunkReader): Promise<void> {
    const { fileStore, metrics } = this.#parts
    let lookedAtBytes = 0
    for (let chunk = await reader.next(); chunk !== null; chunk = await reader.next()) {
      const offset = upload.receivedBytes
      upload.receivedBytes += chunk.length
      if (size !== null && upload.receivedBytes > size) {
        const text = `the file has more than the ${size} bytes that were declared: nothing of it is stored`
        throw new MillraceError('invalid_event', text, { field: 'size' })
      }
      this.#reserve(upload, upload.receivedBytes)
      if (upload.receivedBytes - lookedAtBytes >= lookEveryBytes) {
        lookedAtBytes = upload.receivedBytes
        await this.#refuseFullDisk()
      }
      await fileStore.append(upload.fileId, offset, chunk)
      metrics.uploadedBytes.add(chunk.length)
    }
  }

  async #complete({ fileId }: Running, header: FileHeader, declared: DeclaredContent): Promise<FileDescription> {
    const { fileStore, store, now } = this.#parts
    const { filename, contentType } = header
    let file: FileDescription | undefined
    await fileStore.complete(fileId, declared, async (content) => {
      file = {
        ...{ fileId, filename, ...content },
        contentType: contentType || 'application/octet-stream',
        receivedAtMicros: now() * 1000,
        analysis: null,
      }
      try {
        await store.saveFile(file)
      } catch (thrown) {
        // The row may be there all the same, when only its answer was lost.
        if (isSame(await store.file(fileId).catch(() => null), content)) return
        const { code, message } = toMillraceError(thrown)
        throw new MillraceError(code, `the file is not stored: ${message}`, { cause: thrown })
      }
    })
    return file!
  }

  /** Reserves room for so many bytes of an upload, or refuses it: what is declared has its room from the start. */
  #reserve(upload: Running, bytes: number): void {
    const { fileStore, limits } = this.#parts
    const { fileMaxBytes, filesMaxBytes } = limits
    if (bytes <= upload.reservedBytes) return
    if (bytes > fileMaxBytes) {
      const text = `the file has more than ${fileMaxBytes} bytes (MILLRACE_FILE_MAX_BYTES)`
      throw new MillraceError('event_too_large', text, { field: 'size' })
    }
    const others = this.#reservedBytes - upload.reservedBytes
    if (fileStore.storedBytes + others + bytes > filesMaxBytes) {
      const used = `${fileStore.storedBytes} are stored, ${others} reserved for other uploads`
      const text = `all files may have ${filesMaxBytes} bytes (MILLRACE_FILES_MAX_BYTES): ${used}`
      throw new MillraceError('disk_full', text, { field: 'size' })
    }
    this.#reservedBytes = others + bytes
    upload.reservedBytes = bytes
  }

  async #refuseFullDisk(): Promise<void> {
    const { fileStore, limits } = this.#parts
    const freeBytes = await fileStore.freeBytes()
    const toComeBytes = [...this.#running].reduce((sum, each) => sum + each.reservedBytes - each.receivedBytes, 0)
    if (freeBytes - toComeBytes >= limits.diskReserveBytes) return
    const text = 'the disk of the files has no room for it beside its reserve (MILLRACE_DISK_RESERVE_BYTES)'
    throw new MillraceError('disk_full', text, { field: 'size' })
  }

  async #analysisOf(
    file: FileDescription,
    { analysisWithinMs, traceparent, signal }: UploadOptions,
  ): Promise<string | null> {
    const { analyze, logger } = this.#parts
    const signals = signal === undefined ? [this.#draining.signal] : [this.#draining.signal, signal]
    const options = { withinMs: Math.max(0, analysisWithinMs()), traceparent, signal: AbortSignal.any(signals) }
    return await analyze(file, options).catch((error: unknown) => {
      logger.warn({ file_id: file.fileId, error }, 'the analysis of a file has failed')
      return null
    })
  }
}

function isSame(file: FileDescription | null, { size, sha256 }: FileContent): boolean {
  return file !== null && file.size === size && file.sha256 === sha256
}

function draining(): MillraceError {
  return new MillraceError('draining', 'the server is stopping: send the file again, to another server or later')
}

function cancelled(): MillraceError {
  return new MillraceError('cancelled', 'the upload was cancelled')
}

function notFound(text: string): MillraceError {
  return new MillraceError('not_found', text, { field: 'file_id' })
}

function shown(fileId: string): string {
  return JSON.stringify(fileId.slice(0, 100))
}
