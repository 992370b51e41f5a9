// `millrace groups keys`: lists the keys of a group whose events wait for the first of them, or lets that one go.

import { MillraceError } from '../errors.ts'
import { formatRfc3339 } from '../lib/rfc3339.ts'
import { type HeldKey, type ReleaseAction, releaseActions } from '../pipeline/administration.ts'
import { heldKey } from '../wire/administration.ts'
import { type CommandInput, textOption } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { groupOf } from './group-options.ts'
import { visibleText } from './shown-text.ts'
import { formatCount, formatTable } from './table.ts'
import { withClient } from './with-client.ts'

const maxKeys = 1000

const done: Readonly<Record<ReleaseAction, string>> = {
  retry: 'has one more attempt now',
  release: 'has all its attempts again',
  skip: 'becomes a dead letter, and the key goes on',
}

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const name = groupOf(input)
  const actions = releaseActions.filter((action) => textOption(input, action) !== undefined)
  if (actions.length > 1) {
    const given = actions.map((action) => `--${action}`).join(' and ')
    throw new MillraceError('invalid_event', `${given} are given together: use one of them`, { field: actions[1]! })
  }
  const [action] = actions
  if (action === undefined) return await list(input)
  const key = textOption(input, action)!
  await withClient(input, ({ administration }) => administration.releaseKey(name, key, action))
  if (terminal.json) terminal.printJson({ ...name, key, action })
  else terminal.print(`the first event of key ${visibleText(key)} ${done[action]}`)
  return exitCodes.done
}

async function list(input: CommandInput): Promise<number> {
  const { terminal } = input
  const name = groupOf(input)
  const { keys, hasMore } = await withClient(input, ({ administration }) => administration.heldKeys(name, maxKeys))
  if (terminal.json) terminal.printJson({ keys: keys.map(heldKey.toJson), has_more: hasMore })
  else if (keys.length === 0) terminal.print('No key is held.')
  else terminal.print(formatTable(['KEY', 'EVENTS', 'ATTEMPTS', 'NEXT ATTEMPT', 'PRIORITY'], keys.map(rowOf), terminal))
  if (hasMore) terminal.note(`these are the first ${maxKeys} keys`)
  return exitCodes.done
}

function rowOf({ key, events, attempts, dueAtMicros, priority }: HeldKey): string[] {
  const isDue = dueAtMicros !== null && dueAtMicros <= Date.now() * 1000
  const due = dueAtMicros === null ? 'when it is released' : isDue ? 'now' : formatRfc3339(dueAtMicros)
  return [visibleText(key), formatCount(events), formatCount(attempts), due, priority]
}
