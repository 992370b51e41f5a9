// Reads a file in chunks, as they are taken.

import { open } from 'node:fs/promises'

const chunkBytes = 64 * 1024

/** The offsets of its first and its last byte. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface FileChunks {
  /** Length of the whole file in bytes when it was opened; null for a pipe and whatever else is no regular file. */
  readonly size: number | null
  /** A loop over them closes the file when it ends, also early. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** For chunks over which no loop has begun. Idempotent. */
  close(): void
}

/** Opens a file, or a range of it. Rejects with the error of the file system. */
export async function openFileChunks(path: string, range?: ByteRange): Promise<FileChunks> {
  const handle = await open(path)
  try {
    const about = await handle.stat()
    const chunks = handle.createReadStream({ highWaterMark: chunkBytes, ...range })
    return { size: about.isFile() ? about.size : null, chunks, close: () => void chunks.destroy() }
  } catch (thrown) {
    await handle.close()
    throw thrown
  }
}
