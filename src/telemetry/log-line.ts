// The last look at a log line before it is written.
//
// Job: whatever a stranger managed to get into a message (a file name, a header, an error text of a database) cannot
// fill the disk, steer a terminal or show a password.
// Not its job: JSON (pino), keeping named secrets out (the redact list in logger.ts).

/** The most bytes of one text in a line. */
export const maxFieldBytes = 8192

const encoder = new TextEncoder()
/** Only to measure; what stands in it is never read. */
const scratch = new Uint8Array(maxFieldBytes)

/** The line with long texts cut, control characters escaped and passwords in URLs hidden. One line of JSON stays one. */
export function safeLine(line: string): string {
  const cut = line.length > maxFieldBytes / 3 && Buffer.byteLength(line) > maxFieldBytes ? cutFields(line) : line
  const hidden = cut.includes('://') ? cut.replace(urlPassword, '://$1:[redacted]@') : cut
  return hidden.replace(controls, escapeControl)
}

/** For a terminal: control characters stay escaped when the JSON is undone, so nobody can draw lines of their own. */
export function visibleControls(text: string, key: string): string {
  return key === 'stack' ? text.split('\n').map(escapeControls).join('\n') : escapeControls(text)
}

function escapeControls(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, escapeControl)
}

/** JSON escapes what is below a space; DEL, the upper controls and two line separators it does not. */
const controls = /(?!\n)[\p{Cc}\u2028\u2029]/gu
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

/** A value of JSON with every text in it replaced. */
export function mapTexts(value: unknown, replace: (text: string, key: string) => string, key = ''): unknown {
  if (typeof value === 'string') return replace(value, key)
  if (Array.isArray(value)) return value.map((element) => mapTexts(element, replace, key))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, element]) => [name, mapTexts(element, replace, name)]))
}

function cutText(text: string): string {
  const { read } = encoder.encodeInto(text, scratch)
  return read === text.length ? text : `${text.slice(0, read)} … (${text.length - read} characters more)`
}
