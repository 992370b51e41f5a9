// Whether the log has room for a topic.

import { MillraceError } from '../../../errors.ts'
import type { TopicDeclaration } from '../../event-log.ts'
import type { KnownTopic } from './registry-content.ts'

/** Max streams: each costs a poll whenever a consumer waits. */
const maxStreams = 100_000

/** Throws `failed_precondition` when the log would have too many streams with it. */
export function checkStreams(
  topic: string,
  { partitions, groups }: TopicDeclaration,
  topics: ReadonlyMap<string, KnownTopic>,
): void {
  let streams = 0
  for (const known of topics.values()) {
    if (known.name !== topic) streams += known.partitions.length * 3 * (1 + known.groups.size)
  }
  const all = new Set([...(topics.get(topic)?.groups.keys() ?? []), ...groups.map(({ name }) => name)])
  streams += partitions * 3 * (1 + all.size)
  if (streams <= maxStreams) return
  throw new MillraceError(
    'failed_precondition',
    `topic "${topic}" with ${partitions} partitions would need ${streams} streams; ` +
      `the limit is ${maxStreams}, declare fewer partitions or groups`,
    { field: 'partitions' },
  )
}
