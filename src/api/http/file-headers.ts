// The headers that describe a file: what an upload declares, and what a download tells.

import type { IncomingHttpHeaders } from 'node:http'
import { MillraceError } from '../../errors.ts'
import type { FileDescription, FileHeader } from '../../pipeline/files.ts'

/** What curl says of any body. A file is no encoded form. */
const formType = 'application/x-www-form-urlencoded'

/**
 * What the headers of a raw body declare. Errors: `invalid_event` that names the header.
 *
 * @param isEncoded the length and the digest are those of the compressed bytes (RFC 9110, 9530).
 */
export function fileHeaderOf(headers: IncomingHttpHeaders, isEncoded = false): FileHeader {
  const { 'content-type': contentType = '', 'content-length': length } = headers
  return {
    ...formFileHeaderOf(headers, filenameOf(headers['content-disposition'] ?? ''), contentType),
    size: length === undefined || isEncoded ? null : Number(length),
    sha256: sha256Of(headers['repr-digest']?.toString(), isEncoded),
  }
}

/** The headers of a form describe the form: only the id is that of the file. */
export function formFileHeaderOf(headers: IncomingHttpHeaders, filename: string, contentType: string): FileHeader {
  return {
    filename,
    contentType: contentType === formType ? '' : contentType,
    size: null,
    sha256: null,
    fileId: headers['millrace-file-id']?.toString() ?? '',
  }
}

export function downloadHeaders({ contentType, size, sha256, filename, fileId }: FileDescription) {
  return {
    'content-type': contentType,
    'content-length': String(size),
    'accept-ranges': 'bytes',
    'content-disposition': dispositionOf(filename),
    'repr-digest': `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`,
    'millrace-file-id': fileId,
    'x-content-type-options': 'nosniff',
  }
}

/** RFC 6266: a form for old clients, and the exact name. */
function dispositionOf(filename: string): string {
  if (filename === '') return 'attachment'
  const plain = filename.replace(/[^ -~]|["\\%]/g, '_')
  const exact = encodeURIComponent(filename.toWellFormed()).replace(/['()*]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  })
  return plain === filename
    ? `attachment; filename="${plain}"`
    : `attachment; filename="${plain}"; filename*=UTF-8''${exact}`
}

/** The file name of a Content-Disposition: `filename*` before `filename`; '' when it has none. */
function filenameOf(disposition: string): string {
  const extended = /;\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]*)/i.exec(disposition)?.[1]
  const [, quoted, token] = /;\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))/i.exec(disposition) ?? []
  if (extended !== undefined) {
    try {
      return decodeURIComponent(extended)
    } catch (cause) {
      throw wrong('content-disposition', 'has a filename* that is not percent-encoded UTF-8', cause)
    }
  }
  // Node gives headers as Latin-1; clients send UTF-8.
  const name = quoted?.replace(/\\(.)/g, '$1') ?? token ?? ''
  return Buffer.from(name, 'latin1').toString('utf8')
}

/** RFC 9530; null when it has no SHA-256. */
function sha256Of(digest: string | undefined, isEncoded: boolean): string | null {
  const [, encoded] = /(?:^|,)\s*sha-256\s*=\s*(.*?)\s*(?:,|$)/i.exec(digest ?? '') ?? []
  if (encoded === undefined) return null
  if (isEncoded)
    throw wrong('repr-digest', 'is that of the compressed bytes: leave it out, or send the file uncompressed')
  const base64 = /^:([A-Za-z0-9+/]{43}=):$/.exec(encoded)?.[1]
  if (base64 === undefined) throw wrong('repr-digest', 'has no SHA-256 in the form sha-256=:BASE64:')
  return Buffer.from(base64, 'base64').toString('hex')
}

function wrong(field: string, problem: string, cause?: unknown): MillraceError {
  return new MillraceError('invalid_event', `${field} ${problem}`, { field, cause })
}
