// No request may wait for ever: what hangs inside is answered with 504.

import { MillraceError } from '../../errors.ts'
import { withinMs } from '../../lib/abort.ts'

/** What the work resolves with. Throws `deadline_exceeded` when it takes longer; the work goes on, unheard. */
export async function answerInTime<Result>(work: Promise<Result>, maxMs: number): Promise<Result> {
  const late = Symbol('late')
  const result = await withinMs<Result, symbol>(work, maxMs, late)
  if (result !== late) return result as Result
  const problem = `no answer within ${maxMs} ms; the outcome is unknown: send it again with the same ids`
  throw new MillraceError('deadline_exceeded', problem)
}
