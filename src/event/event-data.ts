// The data of an event as it is shown.

import { isJsonContentType } from './event.ts'

export interface ShownData {
  /** JSON text as it was sent; null when the data are not JSON, whatever their type says, or there are none. */
  readonly dataJson: string | null
  /** Data that are not JSON; null when there are none. */
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
