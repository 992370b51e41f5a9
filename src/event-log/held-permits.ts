// The permits of a process, as it knows them. Each call tells its whole state, so a call whose answer was lost may be
// repeated.

import { MillraceError } from '../errors.ts'
import type { GroupLimits, Permits, TakenPermits } from './event-log.ts'

/** What a process tells of its permits, and what it asks for. */
export interface PermitCall {
  /** How many events are at work. */
  readonly atWork: number
  /** How many have begun that may not have been told. They count in the rate from now on. */
  readonly begun: number
  readonly most: number
  readonly least: number
  /** Nothing is at work, and no other call follows. */
  readonly isLast: boolean
}

export interface HeldPermitsOptions {
  /** Infinity: never lost. */
  readonly leaseMs: number
  readonly exchange: (call: PermitCall) => Promise<TakenPermits>
  readonly onClosed?: () => void
}

/** Events that begin within one slot of time are counted together. */
export const rateSlotMs = 25

/** How long a slot counts in the rate: a second, and one slot, because a call may be later than its permit. */
export const rateWindowMs = 1000 + rateSlotMs

/** When to ask again for permits that others have: nobody tells that they are free. */
export const permitPollMs = 50

/** A process that has been refused for so long gets its share. */
export const maxUnfairMs = 1000

/** A process that has not asked for so long does not wait any more. */
export const maxSilentMs = 500

export class HeldPermits implements Permits {
  readonly #options: HeldPermitsOptions
  #inHand = 0
  /** On the clock of `performance.now`. */
  #goodUntil = 0
  #atWork = 0
  #begun = 0
  #lastCall: Promise<unknown> = Promise.resolve()
  #renewal: NodeJS.Timeout | undefined
  #closed: Promise<void> | null = null

  constructor(options: HeldPermitsOptions) {
    this.#options = options
  }

  /** Errors: those of `take`; it is closed then. */
  async join(): Promise<Permits> {
    try {
      await this.take(0)
    } catch (thrown) {
      await this.close()
      throw thrown
    }
    return this
  }

  async take(most: number, least = 1): Promise<TakenPermits> {
    if (this.#closed !== null) throw new MillraceError('failed_precondition', 'the permits are closed')
    return await this.#exchange(most, least)
  }

  begin(events: number): boolean {
    if (events > this.#inHand || performance.now() >= this.#goodUntil) return false
    this.#inHand -= events
    this.#atWork += events
    this.#begun += events
    return true
  }

  end(events: number): void {
    this.#atWork -= events
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await this.#exchange(0, 1, this.#atWork === 0).catch(() => {})
    clearTimeout(this.#renewal)
    this.#options.onClosed?.()
  }

  /** One call at a time: their order is what the log must know last. */
  async #exchange(most: number, least: number, isLast = false): Promise<TakenPermits> {
    const earlier = this.#lastCall
    const done = Promise.withResolvers<void>()
    this.#lastCall = done.promise
    await earlier
    clearTimeout(this.#renewal)
    const { leaseMs, exchange } = this.#options
    this.#inHand = 0
    const begun = this.#begun
    const askedAtMs = performance.now()
    try {
      const answer = await exchange({ atWork: this.#atWork, begun, most, least, isLast })
      this.#begun -= begun
      this.#inHand = answer.taken
      this.#goodUntil = askedAtMs + leaseMs
      return answer
    } finally {
      if (leaseMs !== Number.POSITIVE_INFINITY && this.#closed === null) {
        this.#renewal = setTimeout(() => this.#exchange(0, 1).catch(() => {}), leaseMs / 3)
      }
      done.resolve()
    }
  }
}

/** Errors: `failed_precondition` (others have joined with other limits). */
export function refuseOtherLimits(group: string, own: GroupLimits, others: GroupLimits): void {
  for (const field of ['groupConcurrency', 'ratePerSecond', 'limitPerKey'] as const) {
    const [mine, theirs] = [own[field] || 'none', others[field] || 'none']
    if (mine === theirs) continue
    throw new MillraceError(
      'failed_precondition',
      `group "${group}" has ${field}: ${theirs} in the processes that work on it, and was declared with ${mine}; ` +
        'state the same, or stop those processes first',
      { field },
    )
  }
}
