// Data that says it is JSON, and may be anything.

/** The bytes as JSON text; null when they are none. */
export function jsonTextOf(data: Uint8Array): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data)
    JSON.parse(text)
    return text
  } catch {
    return null
  }
}
