// The durability of an accepted event: the configured level, and the value in an answer.

/** The durability that an accepted or settled event has reached. */
export type Durability = 'memory' | 'broker' | 'disk' | 'replicated'

/** The durability that an event must reach before it is answered as accepted. */
export type DurabilityLevel =
  /** Redis replied; the durability depends on the persistence of Redis itself. */
  | { readonly level: 'broker' }
  /** Flushed to disk. */
  | { readonly level: 'disk' }
  /** Confirmed by this many replicas; `replicated_disk`: flushed to the append-only files of master and replicas. */
  | { readonly level: 'replicated' | 'replicated_disk'; readonly replicas: number }

/** The durability that answers contain at this level. */
export function durabilityOf({ level }: DurabilityLevel): Durability {
  return level === 'replicated_disk' ? 'replicated' : level
}

/** The level as MILLRACE_DURABILITY spells it: `disk`, `replicated(2)`. */
export function durabilityText(target: DurabilityLevel): string {
  return 'replicas' in target ? `${target.level}(${target.replicas})` : target.level
}
