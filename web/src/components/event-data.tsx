import type { StoredEvent } from '../api.ts'
import { formatJson } from '../format.ts'

/** The data of an event, as it was sent. */
export function EventData({ event }: { readonly event: StoredEvent }) {
  if (event.data_omitted !== undefined) return <p className="note">Left out: {event.data_omitted}</p>
  if (event.data_base64 !== undefined) return <Text text={decoded(event.data_base64)} />
  if (event.data === undefined) return <p className="note">This event has no data.</p>
  return <Text text={formatJson(event.data)} />
}

function Text({ text }: { readonly text: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: long data is scrolled by keyboard too
    <pre className="data" tabIndex={0}>
      {text}
    </pre>
  )
}

/** Text when it is UTF-8, else hexadecimal. */
function decoded(base64: string): string {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
  }
}
