// The permits of a pool: in a group with limits, as many as its calls need are asked for together, and what is not used
// is given back. Without limits it only joins, so that a process which states other ones is refused.

import { toMillraceError } from '../errors.ts'
import type { EventLog, GroupLimits, Permits } from '../event-log/event-log.ts'
import { sleep } from '../lib/abort.ts'
import type { Logger } from '../telemetry/logger.ts'
import { decideRetry } from './retry-policy.ts'

/** Permits with which nothing has begun for so long are given back. */
const maxUnusedMs = 100

/** Those of calls that have ended are given back after so long, if no others are taken before. */
const maxEndedMs = 10

export interface GroupPermitsOptions {
  readonly eventLog: EventLog
  readonly topic: string
  readonly group: string
  readonly limits: GroupLimits
  readonly leaseMs: number
  /** Recreates the group when it was deleted. */
  readonly declare: () => Promise<void>
  /** Called when calls may begin that could not. */
  readonly onPermits: () => void
  readonly logger: Logger
  /** 0 <= random() < 1. */
  readonly random: () => number
}

export class GroupPermits {
  readonly #options: GroupPermitsOptions
  readonly #isLimited: boolean
  #permits: Permits | null = null
  #inHand = 0
  /** Events of the call that waits to begin. */
  #needed = 0
  /** Events that `ready` waits for. */
  #wanted = 0
  #ready = Promise.withResolvers<void>()
  /** Ends the wait for another's permits when one's own are free. */
  #waiting = new AbortController()
  #asking: Promise<void> | null = null
  #giveBackTimer: NodeJS.Timeout | undefined
  #hasEnded = false
  readonly #closing = new AbortController()
  /** Why calls wait; null when none does, or none needs to. */
  reason: string | null = null

  constructor(options: GroupPermitsOptions) {
    this.#options = options
    this.#isLimited = options.limits.groupConcurrency !== undefined || options.limits.ratePerSecond !== undefined
  }

  /** Errors: those of EventLog.permits. */
  async join(): Promise<void> {
    const { eventLog, topic, group, limits, leaseMs } = this.#options
    this.#permits = await eventLog.permits(topic, group, limits, { leaseMs })
  }

  /** Begins a call with so many events; when it returns false, `onPermits` is called when to try again. */
  begin(events: number): boolean {
    if (!this.#isLimited) return true
    if (this.#permits!.begin(events)) {
      this.#inHand -= events
      return true
    }
    this.#needed = events
    this.#ask()
    return false
  }

  /** A call with so many events has ended. */
  end(events: number): void {
    if (!this.#isLimited) return
    this.#permits!.end(events)
    this.#waiting.abort()
    if (!this.#hasEnded) this.#giveBackIn(maxEndedMs)
    this.#hasEnded = true
  }

  /** Resolves with how many events may begin beside those that wait, at least 1 and at most `most`; with 0 on abort. */
  async ready(most: number, signal: AbortSignal): Promise<number> {
    if (!this.#isLimited) return most
    const onAbort = () => this.#ready.resolve()
    signal.addEventListener('abort', onAbort, { once: true })
    this.#wanted = most
    while (this.#inHand === 0 && !signal.aborted && !this.#closing.signal.aborted) {
      this.#ready = Promise.withResolvers()
      this.#ask()
      await this.#ready.promise
    }
    this.#wanted = 0
    signal.removeEventListener('abort', onAbort)
    return signal.aborted ? 0 : Math.min(most, this.#inHand)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#waiting.abort()
    this.#ready.resolve()
    clearTimeout(this.#giveBackTimer)
    await this.#asking
    await this.#permits?.close()
  }

  #ask(): void {
    this.#asking ??= this.#askUntilGiven().finally(() => {
      this.#asking = null
      // Something may have come to wait since the last look.
      if (this.#needed + this.#wanted > 0 && !this.#closing.signal.aborted) this.#ask()
    })
  }

  async #askUntilGiven(): Promise<void> {
    const { signal } = this.#closing
    for (let failures = 0; !signal.aborted && this.#needed + this.#wanted > 0; ) {
      this.#waiting = new AbortController()
      // What ends and begins in one turn of the event loop is told together.
      await new Promise((resolve) => setImmediate(resolve))
      if (signal.aborted) return
      let retryInMs: number
      try {
        retryInMs = await this.#take(this.#needed + this.#wanted, Math.max(1, this.#needed))
        failures = 0
      } catch (thrown) {
        retryInMs = await this.#noteFailure(thrown, ++failures)
      }
      if (this.#inHand > 0) {
        this.#needed = 0
        this.#options.onPermits()
        this.#ready.resolve()
        await new Promise((resolve) => setImmediate(resolve))
      } else await sleep(retryInMs, this.#waiting.signal)
    }
  }

  async #take(most: number, least = 1): Promise<number> {
    clearTimeout(this.#giveBackTimer)
    this.#hasEnded = false
    this.#inHand = 0
    const { limits } = this.#options
    const { taken, full, retryAfterMs } = await this.#permits!.take(most, least)
    this.#inHand = taken
    if (taken > 0 && !this.#hasEnded) this.#giveBackIn(maxUnusedMs)
    if (full === null || taken > 0) this.reason = null
    else if (full.limit === 'ratePerSecond')
      this.reason = `the rate of the group, ${limits.ratePerSecond} events a second, is used up`
    else this.reason = `${full.used} of ${limits.groupConcurrency} permits of the group are taken`
    return retryAfterMs
  }

  async #noteFailure(thrown: unknown, failures: number): Promise<number> {
    const { topic, group, declare, logger, random } = this.#options
    const error = toMillraceError(thrown)
    this.reason = `the permits of the group cannot be taken: ${error.message}`
    if (failures === 1) logger.error({ topic, group, code: error.code, error }, 'permits cannot be taken; retrying')
    if (error.code === 'not_found') await declare().catch(() => {})
    if (error.code === 'not_found' && failures === 1) return 0
    return decideRetry(error, failures, random()).retryInMs
  }

  #giveBackIn(ms: number): void {
    clearTimeout(this.#giveBackTimer)
    if (this.#closing.signal.aborted) return
    this.#giveBackTimer = setTimeout(() => {
      if (this.#asking !== null) this.#giveBackIn(ms)
      else void this.#take(this.#hasEnded ? this.#inHand : 0).catch(() => {})
    }, ms)
  }
}
