// Whether the data of an event is what its content type says.

import { isJsonContentType } from './event.ts'

/** Whether the data is JSON text in UTF-8, and its content type says so. */
export function isJsonData(data: Uint8Array, contentType: string): boolean {
  if (data.length === 0 || !isJsonContentType(contentType)) return false
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data))
    return true
  } catch {
    return false
  }
}
