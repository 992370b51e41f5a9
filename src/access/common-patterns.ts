// The patterns that match what two lists of patterns both match.

import { MillraceError } from '../errors.ts'
import { compileTypePatterns } from '../event/type-pattern.ts'
import type { Grant } from '../pipeline/keys.ts'

/** Each without those that are the same. Null: a list that matches everything. */
export function commonPatterns(a: readonly string[] | null, b: readonly string[] | null): readonly string[] | null {
  if (a === null || b === null) return a ?? b
  const common = a.flatMap((one) => b.flatMap((other) => commonPattern(one.split('.'), other.split('.')) ?? []))
  return [...new Set(common)]
}

/**
 * The types that are asked for, as far as the key is for them.
 * @param asked patterns; none: all types.
 * Errors: `permission_denied` when none is left, `invalid_event` for a bad pattern, and when too many are left.
 */
export function typesWithin(grant: Grant, asked: readonly string[], maxPatterns: number): readonly string[] {
  if (grant.types === null) return asked
  compileTypePatterns(asked)
  const within = commonPatterns(grant.types, asked.length === 0 ? null : asked)!
  if (within.length > maxPatterns) {
    const problem = `types has too many patterns beside the ${grant.types.length} of the key: give fewer`
    throw new MillraceError('invalid_event', problem, { field: 'types' })
  }
  if (within.length > 0) return within
  throw new MillraceError('permission_denied', 'the key is for none of the types that are asked for', {
    field: 'types',
  })
}

function commonPattern(a: readonly string[], b: readonly string[]): string | null {
  const common: string[] = []
  for (const [index, segment] of a.entries()) {
    const other = b[index]
    if (other === undefined) return null
    // The last segment of its pattern: it stands for the rest, one segment at least.
    if (segment === '**') return [...common, ...b.slice(index)].join('.')
    if (other === '**') return [...common, ...a.slice(index)].join('.')
    if (segment !== other && segment !== '*' && other !== '*') return null
    common.push(segment === '*' ? other : segment)
  }
  return a.length === b.length ? common.join('.') : null
}
