// The options that say which dead letters a command is about.

import type { DeadLetterFilter } from '../pipeline/dead-letters.ts'
import { type CommandInput, textOption, UsageError } from './command.ts'
import { momentOf } from './moment.ts'

export function deadLetterFilterOf(input: CommandInput): DeadLetterFilter {
  const ids = input.arguments
  const redriven = textOption(input, 'redriven')
  const nowMs = Date.now()
  return {
    deadLetterIds: ids.length === 0 ? undefined : ids,
    topic: textOption(input, 'topic'),
    group: textOption(input, 'group'),
    type: textOption(input, 'type'),
    code: textOption(input, 'code'),
    sinceMicros: momentOf('--since', textOption(input, 'since'), nowMs),
    untilMicros: momentOf('--until', textOption(input, 'until'), nowMs),
    isRedriven: redriven === undefined ? undefined : redriven === 'yes',
  }
}

/** As `deadLetterFilterOf`. Throws UsageError unless either something says which, or --all is given. */
export function chosenDeadLettersOf(input: CommandInput): DeadLetterFilter {
  const filter = deadLetterFilterOf(input)
  const isNarrow = Object.values(filter).some((condition) => condition !== undefined)
  const isAll = input.options.all === true
  if (isNarrow && isAll) throw new UsageError('--all is given beside ids or a filter: leave out one of them')
  if (!isNarrow && !isAll) {
    throw new UsageError('name dead letters by their ids, give a filter such as --code or --since, or say --all')
  }
  return filter
}
