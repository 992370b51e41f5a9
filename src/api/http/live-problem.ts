// The problem of a subscription that failed.

import type { MillraceError } from '../../errors.ts'
import { type Problem, problemOf } from './problem.ts'

/** `cancelled` is not by this client here: another subscription took the id. */
export function liveProblemOf(error: MillraceError): Problem {
  return error.code === 'cancelled' ? { status: 409, error } : problemOf(error)
}
