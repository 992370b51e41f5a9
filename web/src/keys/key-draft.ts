// What is typed for a new key, and the request that it makes.

import type { KeyRequest, Scope } from '../api.ts'

const secondsPerDay = 24 * 60 * 60

export interface KeyDraft {
  readonly name: string
  readonly scopes: readonly Scope[]
  /** Patterns with commas between them; '': all. */
  readonly topics: string
  readonly types: string
  /** Events per second; '': no limit. */
  readonly rate: string
  /** '': it does not expire. */
  readonly days: string
}

export const emptyDraft: KeyDraft = { name: '', scopes: [], topics: '', types: '', rate: '', days: '' }

/** Throws an Error that names the field. What the server alone can judge, it judges. */
export function keyRequestOf({ name, scopes, topics, types, rate, days }: KeyDraft): KeyRequest {
  const expiresInDays = numberOf('Expires in days', days)
  return {
    name: name.trim(),
    scopes,
    topics: patternsOf(topics),
    types: patternsOf(types),
    rate_per_second: numberOf('Rate', rate),
    expires_in: expiresInDays === null ? null : expiresInDays * secondsPerDay,
  }
}

function patternsOf(text: string): readonly string[] | null {
  const patterns = text
    .split(',')
    .map((pattern) => pattern.trim())
    .filter((pattern) => pattern !== '')
  return patterns.length === 0 ? null : patterns
}

function numberOf(field: string, text: string): number | null {
  if (text.trim() === '') return null
  if (!/^[1-9]\d*$/.test(text.trim())) throw new Error(`${field}: a whole number, 1 or more, or nothing`)
  return Number(text)
}
