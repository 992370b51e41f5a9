// The data of an event in the form in which it is shown.

import { isJsonContentType } from './event.ts'

export interface ShownData {
  /** JSON text as it was sent; null if there is no data, or if it is not JSON, whatever its content type. */
  readonly dataJson: string | null
  /** Data that is not JSON; null if there is none. */
  readonly dataBytes: Uint8Array | null
}

export function shownData(data: Uint8Array, contentType: string): ShownData {
  if (data.length === 0) return { dataJson: null, dataBytes: null }
  const dataJson = isJsonContentType(contentType) ? jsonTextOf(data) : null
  return { dataJson, dataBytes: dataJson === null ? data : null }
}

function jsonTextOf(data: Uint8Array): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data)
    JSON.parse(text)
    return text
  } catch {
    return null
  }
}
