// The contract of what keeps the bytes of files. It knows nothing of names, limits and callers (upload.ts).
//
// An upload is known by the id of its file, so that one that continues over several calls needs nothing else. A file id is
// a UUID in lower case everywhere.

import type { ByteRange, FileChunks } from '../lib/file-chunks.ts'
import type { UploadState } from '../pipeline/files.ts'

export interface FileContent {
  /** In bytes. */
  readonly size: number
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string
}

/** Null: not declared. */
export type DeclaredContent = { readonly [Field in keyof FileContent]: FileContent[Field] | null }

/** Errors of all methods, besides their own: `disk_full`, `unavailable` (the files cannot be reached). */
export interface FileStore {
  /**
   * Begins an upload. Nothing of it is visible before `complete`, and nothing is left of it when its process ends, after a
   * while. Errors: `unavailable` (an upload of this file runs here).
   */
  create(fileId: string): Promise<void>

  /**
   * Adds a chunk, which is kept: the caller must not write to it afterwards. Resolves when there is room for the next one,
   * so what is held in memory is bounded; a write that fails rejects a later call. Calls must not overlap.
   * Errors: `failed_precondition` (the offset is not the number of bytes received), `not_found`.
   */
  append(fileId: string, offset: number, chunk: Uint8Array): Promise<void>

  /** How far an upload is; null when none of this file runs here. */
  state(fileId: string): UploadState | null

  /**
   * Ends an upload: all or nothing. Flushes its bytes, compares them with what was declared, makes them the file and calls
   * `save`, which stores what is known of it. When the promise resolves the file survives a power loss.
   * Errors: `invalid_event` (`size` or `sha256` differs), `already_exists`, that of `save`, `not_found`: there is no such
   * file, and the upload is over.
   */
  complete(
    fileId: string,
    declared: DeclaredContent,
    save: (content: FileContent) => Promise<void>,
  ): Promise<FileContent>

  /** Ends an upload and removes its bytes. Without effect when none runs. Never rejects. */
  cancel(fileId: string): Promise<void>

  /** Whether there is such a complete file. */
  has(fileId: string): Promise<boolean>

  /** Opens a complete file, or a range of it; null when there is none. */
  read(fileId: string, range?: ByteRange): Promise<FileChunks | null>

  /** Bytes of all complete files; those of other processes as of some minutes ago. Known once `freeBytes` has resolved. */
  readonly storedBytes: number

  /** Free bytes of the disk. */
  freeBytes(): Promise<number>

  /** Cancels what runs. Idempotent. */
  close(): Promise<void>
}
