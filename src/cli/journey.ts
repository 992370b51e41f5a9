// `millrace journey`: shows what happened to one event.

import { journeyJson } from '../api/http/administration-json.ts'
import type { Journey, JourneyStep } from '../pipeline/administration.ts'
import { type CommandInput, textOption } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { formatTime, visibleText } from './shown-text.ts'
import { formatTable } from './table.ts'
import type { Terminal } from './terminal.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const name = { id: input.arguments[0] ?? '', source: textOption(input, 'source') }
  const journey = await withClient(input, (client) => client.administration.journey(name))
  terminal.print(terminal.json ? journeyJson(journey) : describe(journey, terminal))
  return exitCodes.done
}

function describe({ event, state, steps }: Journey, terminal: Terminal): string {
  const { eventId, id, source, type, topic } = event
  const named = id === eventId ? '' : ` (id ${visibleText(id)})`
  const head = `event ${eventId}${named}, type ${visibleText(type)}, source ${visibleText(source)}, topic ${topic}: ${state}`
  const rows = steps.map((step) => [
    step.atMicros === null ? '–' : formatTime(step.atMicros),
    step.kind.replace('_', ' '),
    visibleText(describeStep(step, source)),
  ])
  return `${head}\n\n${formatTable(['AT', 'STEP', 'WHAT'], rows, terminal)}`
}

function describeStep(
  { kind, group, attempt, code, message, position, deadLetterId }: JourneyStep,
  source: string,
): string {
  switch (kind) {
    case 'accepted':
      return position === null ? `from ${source}` : `from ${source}, at ${position}`
    case 'handed_out':
      return `to group ${group}, attempt ${attempt}`
    case 'begun':
    case 'ended':
    case 'settled':
      return `group ${group}, attempt ${attempt}`
    case 'not_kept':
      return `group ${group}: ${message}`
    case 'failed':
      return `group ${group}, attempt ${attempt}: ${code}: ${message}`
    case 'dead':
      return `group ${group} gave up, dead letter ${deadLetterId}`
    case 'redriven':
      return `dead letter ${deadLetterId} was redriven to group ${group}`
    case 'landed':
      return 'its row is in the events table'
  }
}
