// The files of a server: where their bytes are, and the walk of an upload.

import { openDirectoryFileStore } from '../files/directory-file-store.ts'
import type { FileStore } from '../files/file-store.ts'
import { type Analyze, Uploads } from '../files/upload.ts'
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
