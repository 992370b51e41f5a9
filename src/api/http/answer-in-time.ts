// A timeout for every request: work that hangs is answered with 504.

import { MillraceError } from '../../errors.ts'
import { withinMs } from '../../lib/abort.ts'

/**
 * Resolves as the work does. Throws `deadline_exceeded` after `maxMs`; the work continues and its result is ignored.
 */
export async function answerInTime<Result>(work: Promise<Result>, maxMs: number): Promise<Result> {
  const late = Symbol('late')
  const result = await withinMs<Result, symbol>(work, maxMs, late)
  if (result !== late) return result as Result
  const problem = `no answer within ${maxMs} ms; the outcome is unknown: send the request again with the same ids`
  throw new MillraceError('deadline_exceeded', problem)
}
