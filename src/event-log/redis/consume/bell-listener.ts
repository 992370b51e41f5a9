// Subscribes to the bell channels: a script that makes work available in a partition publishes on its channel when an
// idle consumer has set `asleep` there.
//
// A bell is only a hint: a missed one costs nothing but time, since consumers also poll. So no call waits for a
// subscription or fails without one.

import type { Logger } from '../../../telemetry/logger.ts'
import type { RedisConnection } from '../connection/redis-connection.ts'
import type { PartitionKeys } from '../redis-keys.ts'
import type { Bell } from './bell.ts'

/** Delay before a failed subscription is retried. */
const retryAfterMs = 5_000

interface SubscriptionState {
  isSubscribed: boolean
  /** By a monotonic clock. */
  retryAtMs: number
}

export interface BellListenerOptions {
  readonly connection: Pick<RedisConnection, 'subscribe'>
  readonly logger: Pick<Logger, 'warn'>
}

export class BellListener {
  readonly #options: BellListenerOptions
  readonly #partitions = new Map<PartitionKeys, SubscriptionState>()
  #isWarned = false

  constructor(options: BellListenerOptions) {
    this.#options = options
  }

  /** Subscribes to a partition: its channel then rings the bell. Does not wait for the subscription. */
  subscribe(bell: Bell<PartitionKeys>, partition: PartitionKeys): void {
    const known = this.#partitions.get(partition)
    if (known !== undefined && (known.isSubscribed || performance.now() < known.retryAtMs)) return
    const state = { isSubscribed: false, retryAtMs: Number.POSITIVE_INFINITY }
    this.#partitions.set(partition, state)
    const ring = () => bell.ring(partition)
    this.#options.connection.subscribe(partition.bell, ring).then(
      () => {
        state.isSubscribed = true
        // Messages before the subscription were missed.
        ring()
      },
      (error) => {
        state.retryAtMs = performance.now() + retryAfterMs
        if (!this.#isWarned)
          this.#options.logger.warn({ error }, 'cannot subscribe to Redis channels: polling for new work instead')
        this.#isWarned = true
      },
    )
  }

  /** Whether the partition's channel is subscribed to, as far as is known. After a reconnect the bell rings once. */
  isSubscribed(partition: PartitionKeys): boolean {
    return this.#partitions.get(partition)?.isSubscribed === true
  }
}
