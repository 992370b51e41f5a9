// The problem of a subscription that failed.

import { MillraceError } from '../../errors.ts'
import { type Problem, problemOf } from './problem.ts'

/** `cancelled` is here that another subscription took the id: to subscribe again would take it back, and so on. */
export function liveProblemOf(error: MillraceError): Problem {
  if (error.code !== 'cancelled') return problemOf(error)
  const { message, field } = error
  const taken = new MillraceError('failed_precondition', message, field === undefined ? {} : { field })
  return { status: 409, error: taken }
}
