// The header Range of a download (RFC 9110, 14). What is no single range of bytes is as good as none.

import type { IncomingHttpHeaders } from 'node:http'
import type { ByteRange } from '../../lib/file-chunks.ts'

/** Null: the whole file. `unsatisfiable`: no byte of it is in the range. */
export function byteRangeOf(headers: IncomingHttpHeaders, size: number): ByteRange | null | 'unsatisfiable' {
  // There are no validators, so that of If-Range is none of this file.
  if (headers['if-range'] !== undefined) return null
  const [, first = '', last = ''] = /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(headers.range ?? '') ?? []
  if (first === '' && last === '') return null
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (first !== '' && last !== '' && Number(last) < start) return null
  return start <= end ? { start, end } : 'unsatisfiable'
}
