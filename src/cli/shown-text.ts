// Foreign text and times on a terminal.

import { formatRfc3339 } from '../api/http/rfc3339.ts'

/** One line of at most so many characters. What could steer the terminal is shown as an escape. */
export function cutText(text: string, maxLength: number): string {
  const shown = visibleText(text)
  return shown.length <= maxLength ? shown : `${shown.slice(0, maxLength - 1)}…`
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not reach the terminal.
const steering = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** The text with escapes for what moves the cursor, changes colours or turns the direction of writing. */
export function visibleText(text: string): string {
  return text.replace(steering, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** A time in whole milliseconds. */
export function formatTime(micros: number): string {
  return `${formatRfc3339(micros).slice(0, 23)}Z`
}
