// Reads a file in chunks, as they are taken.

import { open } from 'node:fs/promises'

const chunkBytes = 64 * 1024

export interface FileChunks {
  /** In bytes, when it was opened. */
  readonly size: number
  /** A loop over them closes the file when it ends, also early. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** For chunks over which no loop has begun. Idempotent. */
  close(): void
}

/** Opens a file. Rejects with the error of the file system. */
export async function openFileChunks(path: string): Promise<FileChunks> {
  const handle = await open(path)
  try {
    const { size } = await handle.stat()
    const chunks = handle.createReadStream({ highWaterMark: chunkBytes })
    return { size, chunks, close: () => void chunks.destroy() }
  } catch (thrown) {
    await handle.close()
    throw thrown
  }
}
