// The bells of the partitions: a script that makes work available in a partition publishes on its channel when an idle
// consumer or reader has set `asleep` there. A bell wakes one waiting consumer of each group of this process; when that one
// has found something, it wakes the next. It wakes all waiting readers.
//
// A bell is only a hint: a missed one costs nothing but time, since consumers also poll. So no call waits for a
// subscription or fails without one.

import type { Logger } from '../../../telemetry/logger.ts'
import type { RedisConnection } from '../connection/redis-connection.ts'
import type { PartitionKeys } from '../redis-keys.ts'

/** In place of a group: readers of the topic, all of which a bell wakes. */
export const allReaders = ''

/** Delay before a failed subscription is retried. */
const retryAfterMs = 5_000

interface SubscriptionState {
  isSubscribed: boolean
  /** By a monotonic clock. */
  retryAtMs: number
}

export interface BellsOptions {
  readonly connection: Pick<RedisConnection, 'subscribe'>
  readonly logger: Pick<Logger, 'warn'>
}

export class Bells {
  readonly #options: BellsOptions
  readonly #subscriptions = new Map<PartitionKeys, SubscriptionState>()
  readonly #rungAt = new Map<PartitionKeys, number>()
  readonly #rungIn = new Map<string, number>()
  /** The waiting consumers and readers: topic, then group, then what wakes each. */
  readonly #waiters = new Map<string, Map<string, Set<() => void>>>()
  #isWarned = false

  constructor(options: BellsOptions) {
    this.#options = options
  }

  /** Subscribes to a partition: its channel then rings the bell. Does not wait for the subscription. */
  subscribe(partition: PartitionKeys): void {
    const known = this.#subscriptions.get(partition)
    if (known !== undefined && (known.isSubscribed || performance.now() < known.retryAtMs)) return
    const state = { isSubscribed: false, retryAtMs: Number.POSITIVE_INFINITY }
    this.#subscriptions.set(partition, state)
    const ring = () => this.ring(partition)
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
    return this.#subscriptions.get(partition)?.isSubscribed === true
  }

  /** How often the bell of a partition has rung. A poll that began at a lower count must be repeated. */
  rungAt(partition: PartitionKeys): number {
    return this.#rungAt.get(partition) ?? 0
  }

  /** How often the bells of a topic have rung. */
  rungIn(topic: string): number {
    return this.#rungIn.get(topic) ?? 0
  }

  ring(partition: PartitionKeys): void {
    const { topic } = partition
    this.#rungAt.set(partition, this.rungAt(partition) + 1)
    this.#rungIn.set(topic, this.rungIn(topic) + 1)
    for (const group of [...(this.#waiters.get(topic)?.keys() ?? [])]) this.wakeOne(topic, group)
    for (const wake of [...(this.#waiters.get(topic)?.get(allReaders) ?? [])]) wake()
  }

  /** Wakes the consumer of the group that has waited longest. */
  wakeOne(topic: string, group: string): void {
    const [first] = this.#waiters.get(topic)?.get(group) ?? []
    first?.()
  }

  /**
   * Resolves when a bell of the topic wakes this consumer, after `ms`, or when the signal aborts; at once when a bell has
   * rung since `heard`.
   */
  async wait(topic: string, group: string, heard: number, ms: number, signal: AbortSignal): Promise<void> {
    if (heard !== this.rungIn(topic) || signal.aborted || ms <= 0) return
    const groups = this.#waiters.get(topic) ?? new Map<string, Set<() => void>>()
    const waiters = groups.get(group) ?? new Set()
    this.#waiters.set(topic, groups.set(group, waiters))
    await new Promise<void>((resolve) => {
      const finish = () => {
        clearTimeout(timer)
        waiters.delete(finish)
        signal.removeEventListener('abort', finish)
        resolve()
      }
      const timer = setTimeout(finish, ms)
      waiters.add(finish)
      signal.addEventListener('abort', finish, { once: true })
    })
  }
}
