// A file as JSON text, for the HTTP routes and the command line: its analysis is inserted as it is stored.

import { formatRfc3339 } from '../../lib/rfc3339.ts'
import type { FileDescription } from '../../pipeline/files.ts'

/** The answer to an upload. */
export function storedFileJson(file: Pick<FileDescription, 'fileId' | 'size' | 'sha256' | 'analysis'>): string {
  const { fileId, size, sha256, analysis } = file
  return withAnalysis({ file_id: fileId, size, sha256 }, analysis)
}

export function fileJson(file: FileDescription): string {
  const { fileId, filename, contentType, size, sha256, receivedAtMicros, analysis } = file
  const receivedAt = formatRfc3339(receivedAtMicros)
  const members = { file_id: fileId, filename, content_type: contentType, size, sha256, received_at: receivedAt }
  return withAnalysis(members, analysis)
}

function withAnalysis(members: object, analysis: string | null): string {
  return `${JSON.stringify(members).slice(0, -1)},"analysis":${analysis ?? 'null'}}`
}
