import { MillraceError } from '../errors.ts'
import { isTopicName } from '../event/event.ts'

/** Returns the topic when its name is valid; throws `invalid_event` otherwise. */
export function checkTopic(topic: string): string {
  if (isTopicName(topic)) return topic
  const shown = JSON.stringify(topic.slice(0, 80))
  const problem = `topic ${shown} is not a valid name: use 1 to 64 of a-z 0-9 . _ - and start with a letter or digit`
  throw new MillraceError('invalid_event', problem, { field: 'topic' })
}
