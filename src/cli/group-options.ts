// The argument and option that name a group.

import { defaultTopic } from '../event/event.ts'
import type { GroupName } from '../pipeline/administration.ts'
import { type CommandInput, textOption } from './command.ts'

export function groupOf(input: CommandInput): GroupName {
  const [group = ''] = input.arguments
  return { topic: textOption(input, 'topic') ?? defaultTopic, group }
}
