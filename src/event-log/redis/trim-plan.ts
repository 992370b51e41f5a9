// In which partitions trimming may find something, so that an idle log costs nothing.
//
// A partition is looked at again when this process has appended or settled something there, when the policy lets go of what
// it kept, and now and then all the same: others, too, trim where they append and settle.

import type { RetentionPolicy } from '../event-log.ts'
import type { PartitionKeys } from './redis-keys.ts'

const lookEveryMs = 5 * 60_000

interface Look {
  /** By a clock that only goes forward. */
  readonly atMs: number
  readonly maxBytes: number
  /** Of what only its time keeps, when the oldest was received; in microseconds since 1970. */
  readonly oldestKeptMicros: number
}

export class TrimPlan {
  readonly #looks = new Map<PartitionKeys, Look>()

  /** Something there may be forgotten from now on. */
  touched(partition: PartitionKeys): void {
    this.#looks.delete(partition)
  }

  isTime(partition: PartitionKeys, { keepSinceMs, maxBytes }: RetentionPolicy): boolean {
    const look = this.#looks.get(partition)
    if (look === undefined || performance.now() - look.atMs >= lookEveryMs) return true
    return maxBytes < look.maxBytes || keepSinceMs * 1000 > look.oldestKeptMicros
  }

  /** Called before a look, so that what is touched meanwhile is not passed over. */
  begin(partition: PartitionKeys, { maxBytes }: RetentionPolicy): (oldestKeptMicros: number) => void {
    const placeholder = { atMs: Number.NEGATIVE_INFINITY, maxBytes, oldestKeptMicros: 0 }
    this.#looks.set(partition, placeholder)
    return (oldestKeptMicros) => {
      if (this.#looks.get(partition) !== placeholder) return
      this.#looks.set(partition, { atMs: performance.now(), maxBytes, oldestKeptMicros })
    }
  }
}
