// Reads complete files from their directory, where their names are their ids (docs/files.md).

import { join } from 'node:path'
import { MillraceError } from '../errors.ts'
import { isUuid } from '../event/event.ts'
import { openFileChunks } from '../lib/file-chunks.ts'
import type { HandlerContext } from './define-handler.ts'

/** @param directory MILLRACE_FILES_DIR. */
export function fileReader(directory: string): HandlerContext['file'] {
  return async function* read(fileId) {
    if (!isUuid(fileId)) throw new MillraceError('invalid_event', 'file_id must be a UUID', { field: 'file_id' })
    const opened = await openFileChunks(join(directory, fileId.toLowerCase())).catch((cause: NodeJS.ErrnoException) => {
      const isMissing = cause.code === 'ENOENT'
      const text = isMissing ? `there is no file ${fileId}` : `file ${fileId} cannot be read`
      throw new MillraceError(isMissing ? 'not_found' : 'unavailable', text, { field: 'file_id', cause })
    })
    yield* opened.chunks
  }
}
