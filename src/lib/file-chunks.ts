// Reads a file in chunks, as they are taken.

import { open } from 'node:fs/promises'

const chunkBytes = 64 * 1024

export interface FileChunks {
  /** In bytes, when it was opened. */
  readonly size: number
  /** To be read to its end or ended by `return()`, as a loop does: then the file is closed. */
  readonly chunks: AsyncIterable<Uint8Array>
}

/** Opens a file. Rejects with the error of the file system. */
export async function openFileChunks(path: string): Promise<FileChunks> {
  const handle = await open(path)
  try {
    const { size } = await handle.stat()
    return { size, chunks: handle.createReadStream({ highWaterMark: chunkBytes }) }
  } catch (thrown) {
    await handle.close()
    throw thrown
  }
}
