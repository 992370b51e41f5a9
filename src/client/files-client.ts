// Files over gRPC: uploads and downloads as streams, with backpressure in both directions.

import { basename } from 'node:path'
import type { Client as GrpcClient } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'
import { EventIdGenerator } from '../event/event.ts'
import { openFileChunks } from '../lib/file-chunks.ts'
import type { FileDescription, FileHeader, StoredFile, UploadState } from '../pipeline/files.ts'
import { fileRpcs } from '../wire/files.ts'
import { downloadCall, uploadCall } from './file-calls.ts'
import type { MakeCall } from './make-call.ts'

export interface UploadFileOptions extends Partial<Omit<FileHeader, 'size' | 'sha256'>> {
  /** In bytes. Default: the size of the file of a path. With other content the upload is refused. */
  readonly size?: number
  /** 64 hexadecimal digits. With other content the upload is refused. */
  readonly sha256?: string
  /** Timeout of the whole call, in milliseconds, the analysis included. Default: none. */
  readonly deadlineMs?: number
  /** Ends the upload; nothing is kept. */
  readonly signal?: AbortSignal
}

/** The answer to an upload. */
export type UploadedFile = StoredFile

/** Files of the server; `client.files`. */
export interface ClientFiles {
  /** How much of an upload the server has received and flushed. Errors: `not_found` (it has ended, or another server has it). */
  uploadState(fileId: string): Promise<UploadState>
  /** A complete file's metadata and analysis. Errors: `not_found`. */
  file(fileId: string): Promise<FileDescription>
  /** The bytes of a complete file, read as they are taken. Errors: `not_found`, `corrupt`. */
  download(fileId: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<Uint8Array>
}

export interface FileCalls {
  readonly open: () => Promise<GrpcClient>
  readonly call: MakeCall
}

export class FilesClient implements ClientFiles {
  readonly #calls: FileCalls
  readonly #ids = new EventIdGenerator()

  constructor(calls: FileCalls) {
    this.#calls = calls
  }

  async upload(source: string | AsyncIterable<Uint8Array>, options: UploadFileOptions): Promise<UploadedFile> {
    const opened = typeof source === 'string' ? await openFileChunks(source) : null
    const { filename = typeof source === 'string' ? basename(source) : '', contentType = '', sha256 = null } = options
    const { fileId = this.#ids.next(), size = opened?.size ?? null, deadlineMs, signal } = options
    const header = { filename, contentType, fileId, sha256, size, analysisWithinMs: null }
    const client = await this.#calls.open().catch((thrown: unknown) => {
      opened?.close()
      throw thrown
    })
    const deadline = deadlineMs === undefined ? undefined : Date.now() + deadlineMs
    try {
      const chunks = opened?.chunks ?? (source as AsyncIterable<Uint8Array>)
      const { stored, sha256: sent } = await uploadCall(client, header, chunks, { deadline, signal })
      if (stored.sha256 === sent) return stored
      const text = `the server has stored other content as file ${stored.fileId}: SHA-256 ${stored.sha256}, sent was ${sent}`
      throw new MillraceError('internal', text, { field: 'sha256' })
    } finally {
      opened?.close()
    }
  }

  uploadState(fileId: string): Promise<UploadState> {
    return this.#calls.call(fileRpcs.uploadState, { fileId })
  }

  file(fileId: string): Promise<FileDescription> {
    return this.#calls.call(fileRpcs.file, { fileId })
  }

  async *download(
    fileId: string,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    yield* downloadCall(await this.#calls.open(), fileId, undefined, { signal })
  }
}
