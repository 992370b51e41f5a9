// `millrace dead-letters delete`: deletes dead letters for good.

import type { CommandInput } from './command.ts'
import { confirm } from './confirm.ts'
import { chosenDeadLettersOf } from './dead-letter-options.ts'
import { exitCodes } from './exit-codes.ts'
import { formatCount } from './table.ts'
import { withClient } from './with-client.ts'

/** Before every other time: what --all stands for on the wire, where a filter must have a condition. */
const endOfTime = { untilMicros: 8_000_000_000_000_000 }

export async function run(input: CommandInput): Promise<number> {
  const { terminal, options } = input
  const chosen = chosenDeadLettersOf(input)
  const filter = options.all === true ? { ...chosen, ...endOfTime } : chosen
  return await withClient(input, async ({ administration }) => {
    const { matched } = await administration.deleteDeadLetters(filter, true)
    if (options.dryRun === true || matched === 0) {
      if (terminal.json) terminal.printJson({ matched, deleted: 0 })
      else terminal.print(`${formatCount(matched)} dead letters would be deleted`)
      return exitCodes.done
    }
    const question = `Delete ${formatCount(matched)} dead letters for good?`
    if (options.yes !== true && !(await confirm(question, 'delete'))) {
      terminal.note('nothing was deleted')
      return exitCodes.failed
    }
    let deleted = 0
    for (;;) {
      const step = await administration.deleteDeadLetters(filter, false)
      deleted += step.deleted
      if (step.deleted >= step.matched || step.deleted === 0) break
    }
    if (terminal.json) terminal.printJson({ matched, deleted })
    else terminal.print(`deleted ${formatCount(deleted)} dead letters`)
    return exitCodes.done
  })
}
