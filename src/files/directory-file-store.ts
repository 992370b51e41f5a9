// The file store in a directory, which several processes may share.
//
// In it: `millrace-files.json`, the mark; a complete file under its id; an upload as `<id>.<random>.partial`.
//
// An upload becomes a file by a second name for the same bytes (link), which never replaces a file as a rename would; the
// first name is removed when what is known of the file is stored. A process that ends between the two leaves both names,
// so the sweep knows that it has to ask.

import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readdir, readFile, rename, stat, statfs, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MillraceError } from '../errors.ts'
import { isUuid } from '../event/event.ts'
import { type ByteRange, type FileChunks, openFileChunks } from '../lib/file-chunks.ts'
import type { UploadState } from '../pipeline/files.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { DeclaredContent, FileContent, FileStore } from './file-store.ts'
import { PartialFile } from './partial-file.ts'

const markName = 'millrace-files.json'
const markText = '{"format":1}\n'
const partialName = /^(.{36})\.[0-9a-f-]{36}\.partial$/

/** How long what a process has left behind is kept: longer than any pause of an upload that runs. */
const partialTtlMs = 3_600_000
const sweepEveryMs = 600_000
/** A file without metadata that is younger may belong to a process that is about to store them. */
const completingMs = 60_000

/** What all uploads of the process may hold in memory; one alone holds at most `maxHeldByUpload`. */
const maxHeldBytes = 32 * 1024 * 1024
const maxHeldByUpload = 1024 * 1024

export interface DirectoryOptions {
  readonly directory: string
  readonly logger: Logger
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** Whether what is known of a file is stored. */
  readonly isKnown: (fileId: string) => Promise<boolean>
}

/**
 * Opens the directory, which is created when it is missing.
 * Errors: `failed_precondition` (it has other files, or is of another version), `unavailable` (it cannot be written).
 */
export async function openDirectoryFileStore(options: DirectoryOptions): Promise<FileStore> {
  const { directory } = options
  const refuse = (code: 'failed_precondition' | 'unavailable', text: string, cause?: unknown) =>
    new MillraceError(code, `MILLRACE_FILES_DIR is ${directory}: ${text}`, { field: 'MILLRACE_FILES_DIR', cause })
  try {
    await mkdir(directory, { recursive: true })
    const found = await readMark(directory)
    if (found === null) {
      const others = (await readdir(directory)).filter((name) => !isOwnOfVolume(name))
      if (others.length > 0)
        throw refuse('failed_precondition', 'it has other files; name an empty directory, or one that does not exist')
      await writeFile(join(directory, markName), markText, { flush: true })
    } else if (found !== markText) {
      throw refuse('failed_precondition', `its ${markName} is of another version of Millrace`)
    }
  } catch (thrown) {
    if (thrown instanceof MillraceError) throw thrown
    throw refuse('unavailable', `it cannot be used: ${(thrown as Error).message}`, thrown)
  }
  return new DirectoryFileStore(options)
}

/** What a new volume may have, and what another process has made by now. */
function isOwnOfVolume(name: string): boolean {
  return name === markName || name === 'lost+found' || name.startsWith('.')
}

class DirectoryFileStore implements FileStore {
  readonly #options: DirectoryOptions
  /** Null while its file is being made. */
  readonly #uploads = new Map<string, PartialFile | null>()
  #storedBytes = 0
  /** The size of each file that was completed since the sweep that runs has begun. */
  readonly #completed = new Map<string, number>()
  readonly #counted: Promise<void>
  #sweeping: Promise<void>
  #isSweeping = false
  readonly #timer: NodeJS.Timeout
  #isClosed = false

  constructor(options: DirectoryOptions) {
    this.#options = options
    this.#counted = this.#sweep()
    this.#sweeping = this.#counted
    this.#timer = setInterval(() => {
      this.#sweeping = this.#sweeping.then(() => this.#sweep())
    }, sweepEveryMs)
    this.#timer.unref()
  }

  create(fileId: string): Promise<void> {
    return orUnavailable(async () => {
      if (this.#uploads.has(fileId)) {
        // Not `already_exists`: an uploader that sends it again would take it for stored, and the first one may still fail.
        const text = 'an upload of this file runs: send it again when that has ended'
        throw new MillraceError('unavailable', text, { field: 'file_id' })
      }
      this.#uploads.set(fileId, null)
      try {
        // What was mounted there may be gone: then the file would be on another disk.
        if ((await readMark(this.#options.directory)) === null)
          throw new MillraceError('unavailable', `the directory of files has lost its ${markName}: is it mounted?`)
        const path = this.#path(`${fileId}.${randomUUID()}.partial`)
        this.#uploads.set(fileId, await PartialFile.create(path, () => this.#maxHeldByUpload))
      } catch (thrown) {
        this.#uploads.delete(fileId)
        throw thrown
      }
    })
  }

  append(fileId: string, offset: number, chunk: Uint8Array): Promise<void> {
    return orUnavailable(() => this.#upload(fileId).append(offset, chunk))
  }

  state(fileId: string): UploadState | null {
    return this.#uploads.get(fileId)?.state ?? null
  }

  complete(
    fileId: string,
    declared: DeclaredContent,
    save: (content: FileContent) => Promise<void>,
  ): Promise<FileContent> {
    return orUnavailable(async () => {
      const upload = this.#upload(fileId)
      try {
        const content = await upload.finish(declared)
        await this.#name(fileId, upload)
        try {
          await this.#flushNames()
          await save(content)
        } catch (thrown) {
          await unlink(this.#path(fileId))
          throw thrown
        }
        this.#storedBytes += content.size
        if (this.#isSweeping) this.#completed.set(fileId, content.size)
        return content
      } finally {
        await this.cancel(fileId)
      }
    })
  }

  async cancel(fileId: string): Promise<void> {
    const upload = this.#uploads.get(fileId)
    if (upload === undefined || upload === null) return
    await upload.close()
    // What cannot be removed now the sweep removes.
    await unlink(upload.path).catch(() => {})
    this.#uploads.delete(fileId)
  }

  has(fileId: string): Promise<boolean> {
    return orUnavailable(async () => (await stat(this.#path(fileId)).catch(nullIfMissing)) !== null)
  }

  read(fileId: string, range?: ByteRange): Promise<FileChunks | null> {
    return orUnavailable(async () => {
      return await openFileChunks(this.#path(fileId), range).catch(nullIfMissing)
    })
  }

  get storedBytes(): number {
    return this.#storedBytes
  }

  freeBytes(): Promise<number> {
    return orUnavailable(async () => {
      await this.#counted
      const { bavail, bsize } = await statfs(this.#options.directory)
      return bavail * bsize
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    await Promise.all([this.#sweeping, ...[...this.#uploads.keys()].map((fileId) => this.cancel(fileId))])
  }

  get #maxHeldByUpload(): number {
    return Math.min(maxHeldByUpload, maxHeldBytes / this.#uploads.size)
  }

  #upload(fileId: string): PartialFile {
    const upload = this.#uploads.get(fileId)
    if (upload) return upload
    throw new MillraceError('not_found', `no upload of file ${fileId} runs here`, { field: 'file_id' })
  }

  /** @param name a file id, or begins with one. */
  #path(name: string): string {
    if (!isUuid(name.slice(0, 36))) throw new MillraceError('internal', `${name} is no file id`)
    return join(this.#options.directory, name)
  }

  /** Gives an upload the name of its file. */
  async #name(fileId: string, { path }: PartialFile): Promise<void> {
    const { isKnown, now } = this.#options
    const file = this.#path(fileId)
    try {
      await link(path, file)
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown
      if (await isKnown(fileId)) throw exists(fileId)
      const { ctimeMs } = await stat(file)
      if (now() - ctimeMs < completingMs)
        throw new MillraceError(
          'unavailable',
          'another upload of this file is being completed, or was cut off: retry',
          {
            retryAfterMs: completingMs,
          },
        )
      // A process has ended between the two steps.
      await rename(path, file)
    }
  }

  async #flushNames(): Promise<void> {
    const handle = await open(this.#options.directory)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  /** Counts the bytes, and removes what processes that have ended have left. Never rejects. */
  async #sweep(): Promise<void> {
    const { directory, logger } = this.#options
    this.#isSweeping = true
    try {
      const names = await readdir(directory)
      for (const name of names) {
        const [, fileId] = partialName.exec(name) ?? []
        if (fileId === undefined || this.#isClosed) continue
        await this.#sweepPartial(name, fileId).catch((error: unknown) => {
          logger.warn({ file_id: fileId, error }, 'an upload that was cut off cannot be removed yet')
        })
      }
      let storedBytes = 0
      for (const name of names) {
        if (this.#isClosed) return
        if (isUuid(name)) storedBytes += (await stat(join(directory, name)).catch(nullIfMissing))?.size ?? 0
      }
      for (const name of names) this.#completed.delete(name)
      this.#storedBytes = this.#completed.values().reduce((sum, size) => sum + size, storedBytes)
    } catch (error) {
      logger.warn({ error }, 'the directory of files could not be read')
    } finally {
      this.#isSweeping = false
      this.#completed.clear()
    }
  }

  async #sweepPartial(name: string, fileId: string): Promise<void> {
    const { now, isKnown, logger } = this.#options
    if (!isUuid(fileId)) return
    const path = this.#path(name)
    const partial = await stat(path).catch(nullIfMissing)
    if (partial === null || now() - partial.mtimeMs < partialTtlMs || this.#uploads.get(fileId)?.path === path) return
    const file = await stat(this.#path(fileId)).catch(nullIfMissing)
    const isNamed = file !== null && file.ino === partial.ino
    if (isNamed && !(await isKnown(fileId))) await unlink(this.#path(fileId))
    await unlink(path)
    logger.info({ file_id: fileId, size: partial.size }, 'an upload that was cut off was removed')
  }
}

async function readMark(directory: string): Promise<string | null> {
  return await readFile(join(directory, markName), 'utf8').catch(nullIfMissing)
}

function nullIfMissing(thrown: NodeJS.ErrnoException): null {
  if (thrown.code === 'ENOENT') return null
  throw thrown
}

function exists(fileId: string): MillraceError {
  return new MillraceError('already_exists', `there is a file with this id: ${fileId}`, { field: 'file_id' })
}

/** Callers may see these messages, so paths stay in the cause. */
async function orUnavailable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    const { code = 'an error' } = thrown as NodeJS.ErrnoException
    if (thrown instanceof MillraceError) throw thrown
    if (code === 'ENOSPC' || code === 'EDQUOT')
      throw new MillraceError('disk_full', 'the disk of the files is full', { cause: thrown })
    throw new MillraceError('unavailable', `the directory of files has failed: ${code}`, { cause: thrown })
  }
}
