// The check that every driver makes on an outcome before it settles any of a call.

import { MillraceError } from '../errors.ts'
import type { Outcome } from './event-log.ts'

/** @param count the events of the delivery. Errors: `internal` (the outcome does not add up to them). */
export function checkOutcome({ delivery, landed, dead, again = [] }: Outcome, count: number): void {
  const counts = [landed, dead, ...again.map(({ batch }) => batch.count)]
  const sum = counts.reduce((total, each) => total + each, 0)
  if (sum === count && counts.every((each) => Number.isInteger(each) && each >= 0)) return
  throw new MillraceError(
    'internal',
    `the outcome of delivery ${delivery.id} counts ${sum} events; the delivery has ${count}`,
  )
}
