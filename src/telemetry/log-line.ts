// Sanitizes a log line before it is written.
//
// Job: untrusted text in a message (a file name, a header, an error text of a database) cannot fill the disk, send
// control sequences to a terminal or reveal a password or a key.
// Not its job: JSON (pino), redacting secret fields by name (the redact list in logger.ts).

/** Max bytes of one string in a line. */
export const maxFieldBytes = 8192

const encoder = new TextEncoder()
/** Used only to measure UTF-8 lengths; its content is never read. */
const scratch = new Uint8Array(maxFieldBytes)

/** Cuts long texts, escapes control characters, hides passwords in URLs and the secrets of keys and tickets. One line of JSON stays one line of JSON. */
export function safeLine(line: string): string {
  const cut = line.length > maxFieldBytes / 3 && Buffer.byteLength(line) > maxFieldBytes ? cutFields(line) : line
  const hidden = cut.includes('://') ? cut.replace(urlPassword, '://$1:[redacted]@') : cut
  const secret = hidden.includes('mr') ? hidden.replace(keys, '$1[redacted]') : hidden
  return secret.replace(controls, escapeControl)
}

/** For a terminal: keeps control characters escaped after the JSON is decoded, so that a text cannot forge lines. */
export function visibleControls(text: string, key: string): string {
  return key === 'stack' ? text.split('\n').map(escapeControls).join('\n') : escapeControls(text)
}

function escapeControls(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, escapeControl)
}

/** JSON escapes characters below U+0020, but not DEL, the C1 controls, U+2028 and U+2029. */
const controls = /(?!\n)[\p{Cc}\u2028\u2029]/gu
/** The id of a key is not secret. */
const keys = /(mrt?_[0-9A-Za-z]{12}_)[\w.-]{16,}/g
const urlPassword = /:\/\/([^\s:/@"\\]*):[^\s/@"\\]+@/g

function escapeControl(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function cutFields(line: string): string {
  try {
    return `${JSON.stringify(mapTexts(JSON.parse(line), cutText))}\n`
  } catch {
    return `${JSON.stringify({ level: 'error', message: cutText(line) })}\n`
  }
}

/** Returns the JSON value with every string in it replaced. */
export function mapTexts(value: unknown, replace: (text: string, key: string) => string, key = ''): unknown {
  if (typeof value === 'string') return replace(value, key)
  if (Array.isArray(value)) return value.map((element) => mapTexts(element, replace, key))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, element]) => [name, mapTexts(element, replace, name)]))
}

function cutText(text: string): string {
  const { read } = encoder.encodeInto(text, scratch)
  return read === text.length ? text : `${text.slice(0, read)} … (${text.length - read} more characters)`
}
