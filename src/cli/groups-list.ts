// `millrace groups list`: lists the consumer groups of the topics with their backlogs.

import { groupStateText } from '../pipeline/group-state.ts'
import { groupState } from '../wire/status.ts'
import { type CommandInput, textOption } from './command.ts'
import { formatOldest } from './duration.ts'
import { exitCodes } from './exit-codes.ts'
import { visibleText } from './shown-text.ts'
import { formatCount, formatTable } from './table.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const topic = textOption(input, 'topic')
  const { topics } = await withClient(input, (client) => client.status())
  const chosen = topics.filter(({ name }) => topic === undefined || name === topic)
  const groups = chosen.flatMap(({ name, groups }) => groups.map((group) => ({ topic: name, ...group })))
  if (terminal.json) {
    terminal.printJson({
      groups: groups.map((group) => ({
        topic: group.topic,
        group: group.name,
        waiting: group.waiting,
        ready: group.ready,
        scheduled: group.scheduled,
        held: group.held,
        in_flight: group.inFlight,
        oldest_waiting_seconds: group.oldestWaitingSeconds,
        state: groupState.toJson(group.state),
      })),
    })
  } else if (groups.length === 0) {
    terminal.print('No groups match.')
  } else {
    const rows = groups.map((group) => [
      visibleText(group.topic),
      visibleText(group.name),
      formatCount(group.waiting),
      formatCount(group.ready),
      formatCount(group.scheduled),
      formatCount(group.held),
      formatCount(group.inFlight),
      formatOldest(group),
      visibleText(groupStateText(group.state)),
    ])
    const heads = ['TOPIC', 'GROUP', 'WAITING', 'READY', 'SCHEDULED', 'HELD', 'IN FLIGHT', 'OLDEST', 'STATE']
    terminal.print(formatTable(heads, rows, terminal))
  }
  return exitCodes.done
}
