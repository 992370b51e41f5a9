// Packs the deliveries of one call for the proxy.

import { lanes } from '../../../event/event.ts'
import { Transferred } from '../../../lib/sqlite/database-thread.ts'
import type { Deliveries } from '../protocol.ts'
import type { HandedOut } from './hand-out.ts'
import { concatenated } from './pack-entries.ts'

export function packDeliveries(entries: readonly HandedOut[]): Transferred<Deliveries> {
  const numbers = entries.flatMap(({ lease, receivedAtMicros, content, isSuspect, isFirstLease }) => [
    ...[lease.id, lease.partition, lease.stream % lanes.length, lease.originOffset, lease.count, receivedAtMicros],
    ...[
      lease.attempt,
      lease.appendNumber,
      content?.bytes.length ?? -1,
      content?.damaged === true ? 1 : 0,
      isSuspect ? 1 : 0,
      lease.eventKey === '' ? 0 : 1,
      isFirstLease ? 1 : 0,
    ],
  ])
  const parts = entries.flatMap(({ content }) => (content === null ? [] : [content.bytes]))
  const deliveries = Float64Array.from(numbers)
  if (parts.length === 0) return new Transferred({ deliveries, bytes: null }, [])
  const bytes = concatenated(parts)
  return new Transferred({ deliveries, bytes }, [bytes.buffer])
}
