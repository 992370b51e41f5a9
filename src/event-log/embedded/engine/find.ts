// Finds the stream or group that a caller names, or throws `not_found`.

import { MillraceError } from '../../../errors.ts'
import type { StreamName } from '../../event-log.ts'
import type { GroupRow, StreamRow, TopicRow } from '../file/books.ts'
import type { UnitOfWork } from './unit-of-work.ts'

export function findTopic(work: UnitOfWork, topic: string): TopicRow {
  const found = work.topic(topic)
  if (found !== undefined) return found
  throw new MillraceError('not_found', `there is no topic "${topic}"`, { field: 'topic' })
}

export function findStream(work: UnitOfWork, name: StreamName): StreamRow {
  const found = work.stream(name)
  if (found !== undefined) return found
  const text = `there is no partition ${name.partition} of a topic "${name.topic}"`
  throw new MillraceError('not_found', text, { field: 'topic' })
}

export function findGroup(work: UnitOfWork, topic: string, group: string): GroupRow {
  const topicNumber = work.topic(topic)?.topicNumber
  const groups = topicNumber === undefined ? [] : work.groupsOf(topicNumber)
  const found = groups.find(({ name }) => name === group)
  if (found !== undefined) return found
  throw groupNotFound(topic, group)
}

export function groupNotFound(topic: string, group: string): MillraceError {
  return new MillraceError('not_found', `there is no group "${group}" of a topic "${topic}"`, { field: 'group' })
}
