// Whether an append is taken. All of it is counters in memory, so it costs nothing per event.

import { MillraceError } from '../../errors.ts'
import type { Backlog, WaitingLimit } from '../event-log.ts'
import type { PartitionState } from './log-state.ts'

/** What an append adds to what waits. */
export interface Load {
  readonly events: number
  readonly bytes: number
}

/**
 * The refusal when a group would have more waiting in the partition than the limit, or null. What was admitted and is not
 * durable yet counts as waiting. Where nothing waits, any load is taken.
 */
export function overLimit(partition: PartitionState, load: Load, limit: WaitingLimit): MillraceError | null {
  for (const group of partition.topic.groups.values()) {
    const { ledger } = group.partitions[partition.number]!
    const waitingEvents = ledger.waitingEvents + partition.reservedEvents
    const waitingBytes = ledger.waitingBytes + partition.reservedBytes
    if (waitingEvents === 0) continue
    if (waitingEvents + load.events <= limit.maxEvents && waitingBytes + load.bytes <= limit.maxBytes) continue
    const cause: Backlog = { group: group.name, waitingEvents, waitingBytes, settledEvents: group.settledEvents }
    return new MillraceError(
      'backlogged',
      `${waitingEvents} events of ${waitingBytes} bytes wait for group "${group.name}" of topic "${partition.topic.name}"; ` +
        `${limit.maxEvents} events or ${limit.maxBytes} bytes may`,
      { cause },
    )
  }
  return null
}
