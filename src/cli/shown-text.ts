// Foreign text and times on a terminal.

import { formatRfc3339 } from '../api/http/rfc3339.ts'

/** One line of at most so many characters. What could steer the terminal is shown as an escape. */
export function cutText(text: string, maxLength: number): string {
  const shown = visibleText(text)
  return shown.length <= maxLength ? shown : `${shown.slice(0, maxLength - 1)}…`
}

/** The text with control characters as escapes, line breaks among them. */
export function visibleText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not reach the terminal.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** A time in whole milliseconds. */
export function formatTime(micros: number): string {
  return `${formatRfc3339(micros).slice(0, 23)}Z`
}
