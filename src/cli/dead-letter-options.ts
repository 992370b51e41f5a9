// The options that select dead letters.

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

/** As `deadLetterFilterOf`. Throws UsageError unless either ids or a filter, or --all is given. */
export function chosenDeadLettersOf(input: CommandInput): DeadLetterFilter {
  const filter = deadLetterFilterOf(input)
  const isNarrow = Object.values(filter).some((condition) => condition !== undefined)
  const isAll = input.options.all === true
  if (isNarrow && isAll) throw new UsageError('--all cannot be combined with ids or a filter; leave out one of them')
  if (!isNarrow && !isAll) {
    throw new UsageError('no dead letters are selected; give ids, a filter such as --code or --since, or --all')
  }
  return filter
}
