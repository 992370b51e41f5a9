// `millrace dead-letters delete`: deletes dead letters for good.

import type { CommandInput } from './command.ts'
import { confirm, refuseWithoutTerminal } from './confirm.ts'
import { chosenDeadLettersOf } from './dead-letter-options.ts'
import { exitCodes } from './exit-codes.ts'
import { formatCountOf } from './table.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal, options } = input
  const chosen = chosenDeadLettersOf(input)
  // Events that die after the question are not part of what the user confirms.
  const filter = { ...chosen, untilMicros: Math.min(chosen.untilMicros ?? Number.POSITIVE_INFINITY, Date.now() * 1000) }
  return await withClient(input, async ({ administration }) => {
    const { matched } = await administration.deleteDeadLetters(filter, true)
    if (options.dryRun === true || matched === 0) {
      if (terminal.json) terminal.printJson({ matched, deleted: 0 })
      else if (options.dryRun === true) terminal.print(`${formatCountOf(matched, 'dead letter')} would be deleted`)
      else terminal.print('No dead letters match.')
      return exitCodes.done
    }
    if (options.yes !== true) {
      refuseWithoutTerminal('delete')
      if (!(await confirm(`Delete ${formatCountOf(matched, 'dead letter')} for good?`))) {
        terminal.note('nothing was deleted')
        return exitCodes.failed
      }
    }
    let deleted = 0
    for (let step = { matched, deleted: -1 }; step.deleted !== 0 && deleted < matched; ) {
      step = await administration.deleteDeadLetters(filter, false)
      deleted += step.deleted
    }
    if (terminal.json) terminal.printJson({ matched, deleted })
    else terminal.print(`deleted ${formatCountOf(deleted, 'dead letter')}`)
    return exitCodes.done
  })
}
