// Checks what an uploader declares.

import { MillraceError } from '../errors.ts'
import { isUuid } from '../event/event.ts'
import type { FileHeader } from '../pipeline/files.ts'
import type { DeclaredContent } from './file-store.ts'

const maxFilenameBytes = 1024
const maxContentTypeBytes = 255
/** It is sent as a header to those who download the file. */
const mediaType = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+\s*(?:;[\t\x20-\x7e]*)?$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused.
const controlCharacter = /[\x00-\x1f\x7f-\x9f]/

/** Errors: `invalid_event` that names the field and what it must be. */
export function checkHeader({ filename, contentType, size, sha256, fileId }: FileHeader): DeclaredContent {
  if (Buffer.byteLength(filename) > maxFilenameBytes) throw wrong('filename', `has more than ${maxFilenameBytes} bytes`)
  if (controlCharacter.test(filename)) throw wrong('filename', 'has a control character')
  // A program that saves a download under this name would leave its directory.
  if (/[/\\]/.test(filename) || filename === '.' || filename === '..')
    throw wrong('filename', 'is a path: give the name without directories')
  if (contentType.length > maxContentTypeBytes)
    throw wrong('content_type', `has more than ${maxContentTypeBytes} bytes`)
  if (contentType !== '' && !mediaType.test(contentType))
    throw wrong('content_type', 'is no media type, as text/plain is')
  if (size !== null && !(Number.isSafeInteger(size) && size >= 0)) throw wrong('size', 'must be a number of bytes')
  if (sha256 !== null && !/^[0-9a-f]{64}$/i.test(sha256)) throw wrong('sha256', 'must be 64 hexadecimal digits')
  if (fileId !== '' && !isUuid(fileId)) throw wrong('file_id', 'must be a UUID, or left out')
  return { size, sha256: sha256?.toLowerCase() ?? null }
}

function wrong(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', `${field} ${problem}`, { field })
}
