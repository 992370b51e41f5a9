// The options that say which group a command is about.

import type { GroupName } from '../administration.ts'
import { defaultTopic } from '../event.ts'
import { type CommandInput, textOption } from './command.ts'

export function groupOf(input: CommandInput): GroupName {
  const [group = ''] = input.arguments
  return { topic: textOption(input, 'topic') ?? defaultTopic, group }
}
