// `millrace groups delete`: deletes a group and abandons the events that wait for it.

import { MillraceError } from '../errors.ts'
import type { CommandInput } from './command.ts'
import { confirm, refuseWithoutTerminal } from './confirm.ts'
import { exitCodes } from './exit-codes.ts'
import { groupOf } from './group-options.ts'
import { formatCountOf } from './table.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal, options } = input
  const { topic, group } = groupOf(input)
  return await withClient(input, async (client) => {
    if (options.yes !== true) {
      const { topics } = await client.status()
      const found = topics.find(({ name }) => name === topic)?.groups.find(({ name }) => name === group)
      if (found === undefined) {
        throw new MillraceError(
          'not_found',
          `there is no group "${group}" of a topic "${topic}"; millrace groups list shows all groups`,
          { field: 'group' },
        )
      }
      refuseWithoutTerminal('delete')
      const waiting = `What waits for it, ${formatCountOf(found.waiting, 'event')}, will not be delivered to it`
      if (!(await confirm(`Delete group ${group} of topic ${topic} for good? ${waiting}.`))) {
        terminal.note('nothing was deleted')
        return exitCodes.failed
      }
    }
    const { abandoned } = await client.administration.deleteGroup({ topic, group })
    if (terminal.json) terminal.printJson({ topic, group, abandoned })
    else terminal.print(`deleted group ${group} of topic ${topic}, ${formatCountOf(abandoned, 'event')} abandoned`)
    return exitCodes.done
  })
}
