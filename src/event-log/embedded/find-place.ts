// Finds the partition or group that a caller names, or throws `not_found`.

import { MillraceError } from '../../errors.ts'
import type { StreamName } from '../event-log.ts'
import type { GroupPartition, GroupState } from './group-state.ts'
import type { LogState, PartitionState } from './log-state.ts'

export function findPartition(state: LogState, { topic, partition }: StreamName): PartitionState {
  const found = state.topics.get(topic)?.partitions[partition]
  if (found !== undefined) return found
  throw new MillraceError('not_found', `there is no partition ${partition} of a topic "${topic}"`, { field: 'topic' })
}

export function findGroup(state: LogState, topic: string, group: string): GroupState {
  const found = state.topics.get(topic)?.groups.get(group)
  if (found !== undefined) return found
  throw groupNotFound(topic, group)
}

export function groupNotFound(topic: string, group: string): MillraceError {
  return new MillraceError('not_found', `there is no group "${group}" of a topic "${topic}"`, { field: 'group' })
}

/** A group's state in the partition of a stream. */
export function findPart(state: LogState, name: StreamName, group: string): GroupPartition {
  const { number } = findPartition(state, name)
  return findGroup(state, name.topic, group).partitions[number]!
}
