// Decides whether an append is admitted. It uses only counters in memory, so it costs nothing per event.

import { MillraceError } from '../../errors.ts'
import type { Backlog, WaitingLimit } from '../event-log.ts'
import type { PartitionState } from './log-state.ts'

/** What an append adds to the waiting events. */
export interface Load {
  readonly events: number
  readonly bytes: number
}

/**
 * Returns the refusal when a group would have more waiting in the partition than the limit allows, else null. Appends
 * that are admitted but not durable yet count as waiting. Where nothing waits, a load of any size is admitted.
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
        `the limit is ${limit.maxEvents} events or ${limit.maxBytes} bytes`,
      { cause },
    )
  }
  return null
}
