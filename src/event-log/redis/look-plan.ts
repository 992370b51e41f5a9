// Where a consumer that waits has to look, and until when it may sleep.
//
// A partition in which it found nothing is looked at again when the bell rings for it, when something there has become
// due, and now and then all the same, for a bell can be missed; often, while its bell is not heard. One that could not be
// asked is asked again after a while; the others go on.

import { type Lane, lanes } from '../../event/event.ts'
import type { Bell } from './bell.ts'
import type { PartitionKeys } from './redis-keys.ts'

const lookEveryMs = 30_000
const lookWithoutBellEveryMs = 1_000
const lookAfterFailureMs = 1_000

/** What a look found that found nothing. */
interface EmptyLook {
  /** How often the bell had rung before. */
  readonly heard: number
  /** By a clock that only goes forward. */
  readonly atMs: number
  readonly lanes: ReadonlySet<Lane>
  /** When something becomes due there, by the wall clock. */
  readonly dueAtMs: number
}

export interface LookPlanOptions {
  readonly bell: Bell<PartitionKeys>
  readonly hears: (partition: PartitionKeys) => boolean
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
}

export class LookPlan {
  readonly #options: LookPlanOptions
  readonly #looks = new Map<PartitionKeys, EmptyLook>()
  /** Partitions that could not be asked, and when that was. */
  readonly #failedAtMs = new Map<PartitionKeys, number>()

  constructor(options: LookPlanOptions) {
    this.#options = options
  }

  /** Remembers a look that found nothing in these lanes. */
  foundNothing(partition: PartitionKeys, heard: number, open: ReadonlySet<Lane>, dueAtMs: number): void {
    this.#failedAtMs.delete(partition)
    this.#looks.set(partition, { heard, atMs: performance.now(), lanes: open, dueAtMs })
  }

  /** There may be more: it is looked at again at once. */
  foundSomething(partition: PartitionKeys): void {
    this.#failedAtMs.delete(partition)
    this.#looks.delete(partition)
  }

  failed(partition: PartitionKeys): void {
    this.#looks.delete(partition)
    this.#failedAtMs.set(partition, performance.now())
  }

  /** Whether the last look at it failed. */
  isAway(partition: PartitionKeys): boolean {
    return this.#failedAtMs.has(partition)
  }

  /** How long nothing has to be looked for in a partition, in milliseconds. */
  restMs(partition: PartitionKeys, open: ReadonlySet<Lane>): number {
    const { bell, hears, now } = this.#options
    const failedAtMs = this.#failedAtMs.get(partition)
    if (failedAtMs !== undefined) return Math.max(0, failedAtMs + lookAfterFailureMs - performance.now())
    const look = this.#looks.get(partition)
    if (look === undefined || look.heard !== bell.rungAt(partition)) return 0
    if (lanes.some((lane) => open.has(lane) && !look.lanes.has(lane))) return 0
    const everyMs = hears(partition) ? lookEveryMs : lookWithoutBellEveryMs
    return Math.max(0, Math.min(look.atMs + everyMs - performance.now(), look.dueAtMs - now()))
  }
}
