// Patterns of event types: `order.paid`, `order.*` (one segment), `order.**` (the rest, one segment at least), `**`.
//
// A pattern is text from users. It is compiled once, and matching takes time in proportion to the type's length.

import { MillraceError } from '../errors.ts'
import { limits } from './event.ts'

const anySegment = '*'
const anyRest = '**'

/**
 * Returns a function that tells whether a type matches one of the patterns; without patterns every type does.
 * Errors: `invalid_event` that names the pattern.
 */
export function compileTypePatterns(patterns: readonly string[]): (type: string) => boolean {
  const compiled = patterns.map(segmentsOf)
  if (compiled.length === 0) return () => true
  return (type) => {
    const segments = type.split('.')
    return compiled.some((pattern) => matches(pattern, segments))
  }
}

function segmentsOf(pattern: string): readonly string[] {
  const segments = pattern.split('.')
  const refuse = (why: string): never => {
    throw new MillraceError('invalid_event', `the type "${pattern.slice(0, limits.maxNameBytes)}" ${why}`, {
      field: 'types',
    })
  }
  if (pattern === '' || Buffer.byteLength(pattern) > limits.maxNameBytes)
    refuse(`has ${Buffer.byteLength(pattern)} bytes; it takes 1 to ${limits.maxNameBytes}`)
  for (const [index, segment] of segments.entries()) {
    if (segment === anyRest && index < segments.length - 1) refuse('has ** before its end: it stands for the rest')
    if (segment.includes('*') && segment !== anySegment && segment !== anyRest)
      refuse('has * beside other characters: it stands for a whole segment, as in order.*')
  }
  return segments
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  const endsOpen = pattern.at(-1) === anyRest
  if (endsOpen ? segments.length < pattern.length : segments.length !== pattern.length) return false
  const fixed = endsOpen ? pattern.length - 1 : pattern.length
  for (let index = 0; index < fixed; index++)
    if (pattern[index] !== anySegment && pattern[index] !== segments[index]) return false
  return true
}
