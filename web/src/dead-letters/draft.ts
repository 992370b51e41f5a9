// The data of an event as text that a person edits, and the bytes of that text.

import type { StoredEvent } from '../api.ts'
import { formatJson } from '../format.ts'

export interface Draft {
  /** `base64`: the data is neither JSON nor text. */
  readonly form: 'text' | 'base64'
  readonly text: string
}

export function draftOf({ data, data_base64: base64 }: StoredEvent): Draft {
  if (base64 === undefined) return { form: 'text', text: data === undefined ? '' : formatJson(data) }
  try {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
    return { form: 'text', text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) }
  } catch {
    return { form: 'base64', text: base64 }
  }
}

/** Throws when the text is not what its media type says. */
export function base64Of({ form, text }: Draft, contentType: string): string {
  if (form === 'base64') return text.replace(/\s/g, '')
  if (/^\s*[^;]*[/+]json\s*(;|$)/i.test(contentType)) JSON.parse(text)
  const bytes = new TextEncoder().encode(text)
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
}
