// Query parameters: each at most once, and no unknown ones, so that a misspelt parameter is not ignored.

import { MillraceError } from '../../errors.ts'
import { parseRfc3339 } from '../../lib/rfc3339.ts'

/** The parameters by name. Throws `invalid_event`, naming the invalid parameter. */
export function readQuery<Name extends string>(query: unknown, names: readonly Name[]): Partial<Record<Name, string>> {
  const given = query as Record<string, string | string[]>
  const values: Partial<Record<Name, string>> = {}
  for (const [name, value] of Object.entries(given)) {
    const found = names.find((candidate) => candidate === name)
    if (found === undefined) {
      const shown = JSON.stringify(name.slice(0, 80))
      const known = names.length === 0 ? 'none' : names.join(', ')
      throw wrongParameter(name, `query parameter ${shown} is unknown; this route has ${known}`)
    }
    if (typeof value !== 'string') throw wrongParameter(name, `${name} is given twice`)
    values[found] = value
  }
  return values
}

export function wrongParameter(name: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', problem, { field: name.slice(0, 80) })
}

const defaultLimit = 100
const maxLimit = 1000

/** The maximum number of elements in a page: 1 to 1000, default 100. */
export function limitParameter(text: string | undefined): number {
  if (text === undefined) return defaultLimit
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > maxLimit) throw wrongParameter('limit', `limit must be a number from 1 to ${maxLimit}`)
  return limit
}

/** A time parameter in microseconds since 1970. A `+` that is not percent-encoded has become a space in the query. */
export function timeParameter(name: string, text: string): number {
  const time = parseRfc3339(text.replace(/ (?=\d\d:\d\d$)/, '+'))
  if (typeof time === 'string') throw wrongParameter(name, `${name} ${time}`)
  return Number(time)
}
