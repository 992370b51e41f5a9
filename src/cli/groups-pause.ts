// `millrace groups pause`: pauses a group until `millrace groups resume`.

import { type CommandInput, textOption } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { groupOf } from './group-options.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const { topic, group } = groupOf(input)
  const reason = textOption(input, 'reason') ?? ''
  await withClient(input, ({ administration }) => administration.pauseGroup({ topic, group }, reason))
  if (terminal.json) terminal.printJson({ topic, group, reason })
  else terminal.print(`group ${group} of topic ${topic} is paused; millrace groups resume ends the pause`)
  return exitCodes.done
}
