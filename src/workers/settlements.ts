// Settles deliveries of a handler whose events have all ended: stores their dead letters first, and repeats both until the
// log takes them.

import { toMillraceError } from '../errors.ts'
import { sleep } from '../lib/abort.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { GroupMember } from './group-member.ts'
import type { OpenDelivery } from './open-delivery.ts'
import type { Outage } from './pool.ts'
import { decideRetry } from './retry-policy.ts'

export interface SettlementsOptions {
  readonly topic: string
  readonly group: string
  readonly member: GroupMember
  readonly deadLetters: DeadLetters
  readonly metrics: Metrics
  readonly logger: Logger
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  readonly random: () => number
  /** Aborted: nothing is repeated any more. */
  readonly signal: AbortSignal
  /** A delivery is settled before those that are added from now on. */
  readonly onSettling: (open: OpenDelivery) => void
  /** @param isRecorded false when the delivery was void, or the log did not take it. */
  readonly onSettled: (open: OpenDelivery, isRecorded: boolean) => void
  /** Called when there are fewer unsettled events. */
  readonly onProgress: () => void
}

export class Settlements {
  readonly #options: SettlementsOptions
  #events = 0
  #ended: OpenDelivery[] = []
  #settling: Promise<void> | null = null
  #outage: Outage | null = null

  constructor(options: SettlementsOptions) {
    this.#options = options
  }

  /** Events of deliveries that were added and are not settled. */
  get events(): number {
    return this.#events
  }

  /** Why dead letters cannot be stored; null while they can. */
  get outage(): Outage | null {
    return this.#outage
  }

  /** Resolves when what is being settled now is. */
  async idle(): Promise<void> {
    await this.#settling
  }

  /** Takes a delivery whose events have all ended. */
  add(open: OpenDelivery): void {
    this.#events += open.delivery.batch.count
    if (open.givenUp.length === 0) this.#settleSoon(open)
    else void this.#bury(open)
  }

  #settleSoon(open: OpenDelivery): void {
    this.#ended.push(open)
    this.#settling ??= this.#settleEnded()
    this.#options.onSettling(open)
  }

  /** Settles what has ended, together with what ends meanwhile. */
  async #settleEnded(): Promise<void> {
    const { member, signal, onSettled, onProgress } = this.#options
    // What ends in one turn of the event loop is settled with one call.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#ended.length > 0) {
      const ended = this.#ended.splice(0)
      for (const [consumer, own] of Map.groupBy(ended, (open) => open.consumer)) {
        const outcomes = own.map((open) => open.outcome())
        const unsettled = new Set(await member.settle(consumer, outcomes, signal))
        for (const open of own) {
          this.#events -= open.delivery.batch.count
          onSettled(open, !unsettled.has(open.delivery))
        }
      }
      onProgress()
    }
    this.#settling = null
  }

  /** Stores the dead letters of a delivery, then settles it; repeats that until the log takes them. */
  async #bury(open: OpenDelivery): Promise<void> {
    const { topic, group, deadLetters, metrics, logger, now, random, signal, onProgress } = this.#options
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        await deadLetters.append(topic, group, open.givenUp)
        for (const { code } of open.givenUp) metrics.deadLetters.add(1, { topic, group, code })
        this.#outage = null
        return this.#settleSoon(open)
      } catch (thrown) {
        const error = toMillraceError(thrown)
        const reason = `dead letters cannot be stored: ${error.message}`
        if (this.#outage === null) logger.error({ topic, group, code: error.code, error }, `${reason}; retrying`)
        this.#outage = { code: error.code, reason, sinceMs: this.#outage?.sinceMs ?? now() }
        await sleep(decideRetry(error, failures, random()).retryInMs, signal)
      }
    }
    this.#events -= open.delivery.batch.count
    onProgress()
  }
}
