// What a caller may do: scopes, and the topics and types that its key is for.

import { MillraceError } from '../errors.ts'
import { compileTypePatterns } from '../event/type-pattern.ts'
import { type Grant, keyLimits, type Scope, scopes } from '../pipeline/keys.ts'
import { commonPatterns } from './common-patterns.ts'

export type GrantParts = Omit<Grant, 'allows' | 'allowsTopic' | 'allowsType'>

/** Errors: `invalid_event` for a bad pattern; it names the field. */
export function createGrant(parts: GrantParts): Grant {
  const allowed = new Set<Scope>(parts.scopes)
  return {
    ...parts,
    allows: (scope) => allowed.has(scope),
    allowsTopic: compilePatterns('topics', parts.topics),
    allowsType: compilePatterns('types', parts.types),
  }
}

/** The grant of every caller of a server without keys. */
export const everything: Grant = createGrant({
  ...{ keyId: '', name: '', scopes },
  ...{ topics: null, types: null, ratePerSecond: null, expiresAtMs: null },
})

/** A grant that allows what both allow. It ends with the first one. Errors: `invalid_event` for a bad pattern. */
export function narrow(
  grant: Grant,
  { scopes, topics, types }: Pick<GrantParts, 'scopes' | 'topics' | 'types'>,
): Grant {
  for (const [field, patterns] of Object.entries({ topics, types })) compilePatterns(field, patterns)
  const both = { topics: commonPatterns(grant.topics, topics), types: commonPatterns(grant.types, types) }
  const allowed = scopes.filter((scope) => grant.allows(scope))
  return {
    ...{ ...grant, ...both, scopes: allowed },
    allows: (scope) => allowed.includes(scope),
    allowsTopic: matcherOf(both.topics),
    allowsType: matcherOf(both.types),
  }
}

/** An empty list, of patterns that have nothing in common, matches nothing. */
function matcherOf(patterns: readonly string[] | null): (name: string) => boolean {
  if (patterns === null) return () => true
  return patterns.length === 0 ? () => false : compileTypePatterns(patterns)
}

/** Whether a name matches one of the patterns; without patterns every name does. Errors: `invalid_event`. */
export function compilePatterns(field: string, patterns: readonly string[] | null): (name: string) => boolean {
  if (patterns === null) return () => true
  if (patterns.length === 0 || patterns.length > keyLimits.maxPatterns) {
    const problem = `${field} has ${patterns.length} patterns; it takes 1 to ${keyLimits.maxPatterns}, or leave it out for all`
    throw new MillraceError('invalid_event', problem, { field })
  }
  try {
    return compileTypePatterns(patterns)
  } catch (thrown) {
    if (!(thrown instanceof MillraceError)) throw thrown
    throw new MillraceError('invalid_event', `${field}: ${thrown.message.replace(/^the type/, 'the pattern')}`, {
      field,
    })
  }
}
