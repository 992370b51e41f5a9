// Files: uploaded and read as streams. Part of the Pipeline contract (pipeline.ts).

import type { ByteRange } from '../lib/file-chunks.ts'

/** What the uploader declares. Null: not declared. */
export interface FileHeader {
  /** Metadata only, at most 1 KiB. */
  readonly filename: string
  /** '' for `application/octet-stream`. */
  readonly contentType: string
  readonly size: number | null
  /** 64 hexadecimal digits. */
  readonly sha256: string | null
  /** A UUID; '' when the server is to assign one. */
  readonly fileId: string
}

export interface FileDescription {
  readonly fileId: string
  readonly filename: string
  readonly contentType: string
  /** In bytes. */
  readonly size: number
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string
  readonly receivedAtMicros: number
  /** The reply of `file.analyze`, JSON text; null while there is none. */
  readonly analysis: string | null
}

/** The answer to an upload. */
export type StoredFile = Pick<FileDescription, 'fileId' | 'size' | 'sha256' | 'analysis'>

/** How much of an upload is there, in bytes. */
export interface UploadState {
  readonly received: number
  /** Flushed to the disk. */
  readonly synced: number
}

export interface UploadOptions {
  /** How long to wait for the analysis; asked when the file is stored. */
  readonly analysisWithinMs: () => number
  /** The call's `traceparent`, for the lines of the log. */
  readonly traceparent?: string | undefined
  readonly signal?: AbortSignal
}

export interface Files {
  /**
   * Stores a file, and asks for its analysis when a worker serves that. Reads a chunk when the one before is written.
   *
   * Resolves when the file is visible: complete, equal to the declared size and hash, and on the disk with its name.
   * Errors, with nothing left: `invalid_event` (names the field: `header`, `size`, `sha256`, ...), `already_exists`,
   * `event_too_large` (over MILLRACE_FILE_MAX_BYTES), `backlogged` (too many uploads at once), `disk_full` (over
   * MILLRACE_FILES_MAX_BYTES, or no space), `deadline_exceeded` (no chunk within MILLRACE_UPLOAD_IDLE_MS), `draining`.
   */
  upload(header: FileHeader, chunks: AsyncIterable<Uint8Array>, options: UploadOptions): Promise<StoredFile>

  /** An upload that has not ended. Errors: `not_found`. */
  uploadState(fileId: string): Promise<UploadState>

  /** A complete file. Errors: `not_found`. */
  file(fileId: string): Promise<FileDescription>

  /**
   * The bytes of a complete file, or of a range within it, in chunks of up to 64 KiB, read as they are taken.
   * Errors: `not_found`, `corrupt`.
   */
  download(
    fileId: string,
    options?: { readonly signal?: AbortSignal; readonly range?: ByteRange | undefined },
  ): AsyncIterable<Uint8Array>
}
