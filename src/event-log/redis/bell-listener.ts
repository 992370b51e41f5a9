// Hears the bells of other processes, and of this one: scripts that make work available ring on the partition's channel
// when somebody has found nothing there.
//
// A bell is a hint and never more: one that is missed costs time, nothing else. So nobody waits until it is listened to,
// and nothing fails when it cannot be.

import type { Logger } from '../../telemetry/logger.ts'
import type { Bell } from './bell.ts'
import type { RedisConnection } from './redis-connection.ts'
import type { PartitionKeys } from './redis-keys.ts'

/** How long after an attempt to listen that failed comes the next. */
const listenAgainMs = 5_000

interface Listening {
  isHeard: boolean
  /** By a clock that only goes forward. */
  againAtMs: number
}

export interface BellListenerOptions {
  readonly connection: Pick<RedisConnection, 'subscribe'>
  readonly logger: Pick<Logger, 'warn'>
}

export class BellListener {
  readonly #options: BellListenerOptions
  readonly #partitions = new Map<PartitionKeys, Listening>()
  #isWarned = false

  constructor(options: BellListenerOptions) {
    this.#options = options
  }

  /** Rings the bell for the partition whenever there may be something new, from some time after this call on. */
  listen(bell: Bell<PartitionKeys>, partition: PartitionKeys): void {
    const known = this.#partitions.get(partition)
    if (known !== undefined && (known.isHeard || performance.now() < known.againAtMs)) return
    const listening = { isHeard: false, againAtMs: Number.POSITIVE_INFINITY }
    this.#partitions.set(partition, listening)
    const ring = () => bell.ring(partition)
    this.#options.connection.subscribe(partition.bell, ring).then(
      () => {
        listening.isHeard = true
        // What came before is not heard any more.
        ring()
      },
      (error) => {
        listening.againAtMs = performance.now() + listenAgainMs
        if (!this.#isWarned)
          this.#options.logger.warn({ error }, 'no bell of Redis is heard: work is looked for instead')
        this.#isWarned = true
      },
    )
  }

  /** Whether the bell is heard, as far as is known: after a lost connection it rings when there is a new one. */
  hears(partition: PartitionKeys): boolean {
    return this.#partitions.get(partition)?.isHeard === true
  }
}
