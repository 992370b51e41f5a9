// The check that every driver makes on an outcome before it settles any of a call.

import { MillraceError } from '../errors.ts'
import type { Outcome } from './event-log.ts'

/** The latest time that JavaScript knows. */
const maxDueAtMs = 8.64e15

/**
 * @param count the events of the delivery. Errors: `internal` (the outcome does not add up to them, or has an attempt or a
 * time that no log can keep).
 */
export function checkOutcome({ delivery, landed, dead, again = [] }: Outcome, count: number): void {
  const counts = [landed, dead, ...again.map(({ batch }) => batch.count)]
  const sum = counts.reduce((total, each) => total + each, 0)
  for (const { attempt, dueAtMs, key, batch } of again) {
    if (key !== undefined && batch.count !== 1) {
      const text = `the outcome of delivery ${delivery.id} has ${batch.count} events with key ${JSON.stringify(key)}`
      throw new MillraceError('internal', `${text}; each must be redelivered alone`)
    }
    if (Number.isSafeInteger(attempt) && attempt >= 0 && dueAtMs >= 0 && dueAtMs <= maxDueAtMs) continue
    const text = `the outcome of delivery ${delivery.id} has attempt ${attempt} and due time ${dueAtMs}`
    throw new MillraceError('internal', `${text}; they must be a whole number and milliseconds since 1970`)
  }
  if (sum === count && counts.every((each) => Number.isInteger(each) && each >= 0)) return
  throw new MillraceError(
    'internal',
    `the outcome of delivery ${delivery.id} counts ${sum} events; the delivery has ${count}`,
  )
}
