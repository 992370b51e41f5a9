// `millrace replay`: delivers settled events to a group again.

import { defaultTopic } from '../event/event.ts'
import { defaultReplayGroup, rateLimits } from '../pipeline/administration.ts'
import { type CommandInput, textOption } from './command.ts'
import { exitCodeOfSignal, exitCodes } from './exit-codes.ts'
import { momentOf } from './moment.ts'
import { ProgressBar } from './progress-bar.ts'
import { repeatCalls } from './repeat-calls.ts'
import { formatCountOf } from './table.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const isDryRun = input.options.dryRun === true
  const request = {
    topic: textOption(input, 'topic') ?? defaultTopic,
    group: textOption(input, 'into') ?? defaultReplayGroup,
    sinceMicros: momentOf('--since', textOption(input, 'since'), Date.now()),
    from: textOption(input, 'from'),
    type: textOption(input, 'type'),
    rate: Number(textOption(input, 'rate') ?? rateLimits.default),
    isDryRun,
  }
  let replayed = 0
  const bar = new ProgressBar(terminal, () => ({ share: null, text: `${formatCountOf(replayed, 'event')} replayed` }))
  const { signal, failure, isCutOff } = await withClient(input, ({ administration }) =>
    repeatCalls(async (cursor, cutOff) => {
      const answer = await administration.replay({ ...request, cursor }, { signal: cutOff })
      replayed += answer.replayed
      return answer
    }),
  ).finally(() => bar.close())
  // After a refused call there is nothing to report.
  if (failure !== null && !isCutOff) throw failure
  if (terminal.json) terminal.printJson({ replayed, dry_run: isDryRun })
  else if (isDryRun) terminal.print(`${formatCountOf(replayed, 'event')} would be replayed into ${request.group}`)
  else terminal.print(`replayed ${formatCountOf(replayed, 'event')} into ${request.group}`)
  if (isCutOff && !isDryRun) terminal.note('the last call was interrupted; events that it replayed are not counted')
  if (failure !== null) throw failure
  return signal === null ? exitCodes.done : exitCodeOfSignal(signal)
}
