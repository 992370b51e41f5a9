// A file as JSON text, for the HTTP routes and the command line: its analysis is inserted as it is stored.

import type { FileDescription, StoredFile } from '../../pipeline/files.ts'
import { fileRpcs, storedFile } from '../../wire/files.ts'

/** The answer to an upload. */
export function storedFileJson(file: StoredFile): string {
  return withAnalysis(storedFile.toJson(file))
}

export function fileJson(file: FileDescription): string {
  return withAnalysis(fileRpcs.file.answer.toJson(file))
}

function withAnalysis({ analysis, ...members }: Record<string, unknown>): string {
  return `${JSON.stringify(members).slice(0, -1)},"analysis":${analysis ?? 'null'}}`
}
