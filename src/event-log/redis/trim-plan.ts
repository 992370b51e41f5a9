// Decides which partitions trimming scans, so that trimming an idle log costs nothing.
//
// A partition is scanned again when this process has appended or settled something there, when the policy no longer
// keeps the oldest settled entry, and every 5 minutes anyway: what other processes append and settle, they trim
// themselves.

import type { RetentionPolicy } from '../event-log.ts'
import type { PartitionKeys } from './redis-keys.ts'

const scanEveryMs = 5 * 60_000

interface Scan {
  /** By a monotonic clock. */
  readonly atMs: number
  readonly maxBytes: number
  /** When the oldest settled entry that is kept for its age was received, in microseconds since 1970. */
  readonly oldestKeptMicros: number
}

export class TrimPlan {
  readonly #scans = new Map<PartitionKeys, Scan>()

  /** Something there may have become trimmable. */
  touched(partition: PartitionKeys): void {
    this.#scans.delete(partition)
  }

  isDue(partition: PartitionKeys, { keepSinceMs, maxBytes }: RetentionPolicy): boolean {
    const scan = this.#scans.get(partition)
    if (scan === undefined || performance.now() - scan.atMs >= scanEveryMs) return true
    return maxBytes < scan.maxBytes || keepSinceMs * 1000 > scan.oldestKeptMicros
  }

  /**
   * Called before a scan; the scan calls the result at its end. A partition that is touched in between is scanned
   * again.
   */
  begin(partition: PartitionKeys, { maxBytes }: RetentionPolicy): (oldestKeptMicros: number) => void {
    const placeholder = { atMs: Number.NEGATIVE_INFINITY, maxBytes, oldestKeptMicros: 0 }
    this.#scans.set(partition, placeholder)
    return (oldestKeptMicros) => {
      if (this.#scans.get(partition) !== placeholder) return
      this.#scans.set(partition, { atMs: performance.now(), maxBytes, oldestKeptMicros })
    }
  }
}
