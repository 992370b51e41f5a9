// Which partitions a waiting consumer polls, and how long it may sleep.
//
// A partition in which it found nothing is polled again when its bell rings, when something there becomes due, and
// every 30 s anyway, because a bell can be missed; every second while its channel is not subscribed to. A partition
// whose poll failed is polled again after a second; that does not delay the others.

import { type Lane, lanes } from '../../../event/event.ts'
import type { PartitionKeys } from '../redis-keys.ts'
import type { Bells } from './bells.ts'

const pollEveryMs = 30_000
const pollWithoutBellEveryMs = 1_000
const pollAfterFailureMs = 1_000

/** A poll that found nothing. */
interface EmptyPoll {
  /** How often the bell had rung before. */
  readonly heard: number
  /** By a monotonic clock. */
  readonly atMs: number
  readonly lanes: ReadonlySet<Lane>
  /** The next due time there, by the wall clock. */
  readonly dueAtMs: number
}

export interface PollPlanOptions {
  readonly bells: Pick<Bells, 'rungAt' | 'isSubscribed'>
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
}

export class PollPlan {
  readonly #options: PollPlanOptions
  readonly #emptyPolls = new Map<PartitionKeys, EmptyPoll>()
  /** Partitions whose last poll failed, with its time. */
  readonly #failedAtMs = new Map<PartitionKeys, number>()

  constructor(options: PollPlanOptions) {
    this.#options = options
  }

  /** Records a poll that found nothing in these lanes. */
  foundNothing(partition: PartitionKeys, heard: number, open: ReadonlySet<Lane>, dueAtMs: number): void {
    this.#failedAtMs.delete(partition)
    this.#emptyPolls.set(partition, { heard, atMs: performance.now(), lanes: open, dueAtMs })
  }

  /** There may be more: the partition is polled again at once. */
  foundSomething(partition: PartitionKeys): void {
    this.#failedAtMs.delete(partition)
    this.#emptyPolls.delete(partition)
  }

  failed(partition: PartitionKeys): void {
    this.#emptyPolls.delete(partition)
    this.#failedAtMs.set(partition, performance.now())
  }

  /** Whether its last poll failed. */
  isUnreachable(partition: PartitionKeys): boolean {
    return this.#failedAtMs.has(partition)
  }

  /** How long the partition need not be polled, in milliseconds; 0: poll now. */
  pollDelayMs(partition: PartitionKeys, open: ReadonlySet<Lane>): number {
    const { bells, now } = this.#options
    const failedAtMs = this.#failedAtMs.get(partition)
    if (failedAtMs !== undefined) return Math.max(0, failedAtMs + pollAfterFailureMs - performance.now())
    const poll = this.#emptyPolls.get(partition)
    if (poll === undefined || poll.heard !== bells.rungAt(partition)) return 0
    if (lanes.some((lane) => open.has(lane) && !poll.lanes.has(lane))) return 0
    const everyMs = bells.isSubscribed(partition) ? pollEveryMs : pollWithoutBellEveryMs
    return Math.max(0, Math.min(poll.atMs + everyMs - performance.now(), poll.dueAtMs - now()))
  }
}
