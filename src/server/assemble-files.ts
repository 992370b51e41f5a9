// The files of a server: where their bytes are, and the walk of an upload.

import { toMillraceError } from '../errors.ts'
import { openDirectoryFileStore } from '../files/directory-file-store.ts'
import type { FileStore } from '../files/file-store.ts'
import { type Analyze, Uploads } from '../files/upload.ts'
import type { Requests } from '../pipeline/requests.ts'
import type { EventStore } from '../store/event-store.ts'
import type { ServerContext } from './server-context.ts'

/** Errors: those of openDirectoryFileStore. */
export async function assembleFiles(
  context: ServerContext,
  store: EventStore,
  analyze: Analyze,
): Promise<{ readonly fileStore: FileStore; readonly uploads: Uploads }> {
  const { config, logger, now } = context
  const isKnown = async (fileId: string) => (await store.file(fileId)) !== null
  const fileStore = await openDirectoryFileStore({ directory: config.filesDir, logger, now, isKnown })
  return { fileStore, uploads: new Uploads({ ...context, limits: config, fileStore, store, analyze }) }
}

/** Sends `file.analyze` to whatever worker serves it. @param requests null where the process takes none. */
export function analyzeBy(requests: () => Requests | null): Analyze {
  return async ({ fileId, sha256 }, { withinMs, traceparent, signal }) => {
    const attributes: Record<string, string> = traceparent === undefined ? {} : { traceparent }
    const message = {
      type: 'file.analyze',
      // Its id is that of the file, so `GET /v1/requests/{id}` shows its stage.
      requestId: fileId,
      // Another content under the id, after the file was deleted, is another request.
      data: Buffer.from(JSON.stringify({ file_id: fileId, sha256 })),
      dataContentType: '',
      attributes,
      deadlineMs: null,
      waitMs: withinMs,
    }
    try {
      const answer = await requests()?.request(message, { signal })
      const text = answer?.reply ? Buffer.from(answer.reply.data).toString() : null
      if (text !== null) JSON.parse(text)
      return text
    } catch (thrown) {
      // Nobody serves it, the id had another content, or the caller and the server wait no more.
      if (['unavailable', 'failed_precondition', 'cancelled', 'draining'].includes(toMillraceError(thrown).code))
        return null
      throw thrown
    }
  }
}
