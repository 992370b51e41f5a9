// Untrusted text and times for a terminal.

import { formatRfc3339 } from '../lib/rfc3339.ts'
import type { Micros } from '../lib/timestamp.ts'

/** One line of at most `maxLength` characters, escaped as in `visibleText`. */
export function cutText(text: string, maxLength: number): string {
  const shown = visibleText(text)
  return shown.length <= maxLength ? shown : `${shown.slice(0, maxLength - 1)}…`
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters must not reach the terminal.
const controlCharacters = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** The text with escapes for characters that control the terminal or change the writing direction. */
export function visibleText(text: string): string {
  return text.replace(controlCharacters, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** RFC 3339 with milliseconds, in UTC. */
export function formatTime(micros: Micros): string {
  return `${formatRfc3339(micros).slice(0, 23)}Z`
}
