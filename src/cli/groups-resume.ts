// `millrace groups resume`: resumes a group that an operator paused, at full speed or at a rate.

import { type CommandInput, textOption } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { groupOf } from './group-options.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const { topic, group } = groupOf(input)
  const text = textOption(input, 'rate')
  const rate = text === undefined ? undefined : Number(text)
  await withClient(input, ({ administration }) => administration.resumeGroup({ topic, group }, rate))
  const atRate =
    rate === undefined ? '' : ` at ${rate} events a second; millrace groups resume without --rate ends that`
  if (terminal.json) terminal.printJson({ topic, group, rate: rate ?? null })
  else terminal.print(`group ${group} of topic ${topic} is resumed${atRate}`)
  return exitCodes.done
}
