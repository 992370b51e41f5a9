import { MillraceError } from '../errors.ts'
import { isTopicName } from '../event/event.ts'

/** The topic when it may be called so; throws `invalid_event` naming it when no topic can. */
export function checkTopic(topic: string): string {
  if (isTopicName(topic)) return topic
  const shown = JSON.stringify(topic.slice(0, 80))
  const problem = `topic ${shown} is not possible: 1 to 64 of a-z 0-9 . _ - and a letter or digit first`
  throw new MillraceError('invalid_event', problem, { field: 'topic' })
}
