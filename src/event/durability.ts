// How safe an accepted event is: what the configuration asks for, and what an answer names.

/** What an accepted or settled event has reached. */
export type Durability = 'memory' | 'broker' | 'disk' | 'replicated'

/** What an accepted event must have reached before it is answered. */
export type DurabilityLevel =
  /** Redis replied; what that is worth depends on its own persistence. */
  | { readonly level: 'broker' }
  /** Flushed to disk. */
  | { readonly level: 'disk' }
  /** This many replicas confirmed it; with `replicated_disk` in their append-only files, as the master did. */
  | { readonly level: 'replicated' | 'replicated_disk'; readonly replicas: number }

/** The durability that answers name at this level. */
export function durabilityOf({ level }: DurabilityLevel): Durability {
  return level === 'replicated_disk' ? 'replicated' : level
}

/** The level as MILLRACE_DURABILITY spells it: `disk`, `replicated(2)`. */
export function durabilityText(target: DurabilityLevel): string {
  return 'replicas' in target ? `${target.level}(${target.replicas})` : target.level
}
