// The levels of durability that can be asked of Redis, and what each means for an append.

import type { Durability } from '../event-log.ts'
import type { Replication } from './redis-connection.ts'

export type DurabilityLevel =
  /** The server has it; what that is worth is its own affair. */
  | { readonly level: 'broker' }
  /** The server has flushed it before it answered. */
  | { readonly level: 'disk' }
  /** So many replicas have it too; with `replicated_disk` in their append-only files, as the master. */
  | { readonly level: 'replicated' | 'replicated_disk'; readonly replicas: number }

/** What an append waits for; undefined: for the answer alone. */
export function replicationOf(durability: DurabilityLevel): Replication | undefined {
  if (durability.level === 'broker' || durability.level === 'disk') return undefined
  return { replicas: durability.replicas, isFlushed: durability.level === 'replicated_disk' }
}

/** The level by the contract's names. */
export function durabilityOf({ level }: DurabilityLevel): Durability {
  return level === 'replicated_disk' ? 'replicated' : level
}
