// What a durability level means for an append on Redis.

import type { DurabilityLevel } from '../../../event/durability.ts'
import type { Replication } from './redis-connection.ts'

/** What an append waits for; undefined: only for the reply of the master. */
export function replicationOf(durability: DurabilityLevel): Replication | undefined {
  if (durability.level === 'broker' || durability.level === 'disk') return undefined
  return { replicas: durability.replicas, isFlushed: durability.level === 'replicated_disk' }
}
