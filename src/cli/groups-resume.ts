// `millrace groups resume`: resumes a group that an operator paused.

import type { CommandInput } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { groupOf } from './group-options.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const { topic, group } = groupOf(input)
  await withClient(input, ({ administration }) => administration.resumeGroup({ topic, group }))
  if (terminal.json) terminal.printJson({ topic, group })
  else terminal.print(`group ${group} of topic ${topic} is resumed`)
  return exitCodes.done
}
