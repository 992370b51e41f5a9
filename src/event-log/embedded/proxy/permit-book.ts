// The permits of a group and their holders, in this process. permits.lua does the same for processes that share Redis.

import type { GroupLimits, TakenPermits } from '../../event-log.ts'
import {
  maxSilentMs,
  maxUnfairMs,
  type PermitCall,
  permitPollMs,
  rateSlotMs,
  rateWindowMs,
  refuseOtherLimits,
} from '../../held-permits.ts'

interface Holder {
  readonly atWork: number
  /** Taken, and not begun. */
  readonly inHand: number
  /** When it was first refused; null when it got all that it asked for. */
  readonly waitsSince: number | null
  readonly askedAt: number
  readonly least: number
}

export class PermitBook {
  #limits: GroupLimits = {}
  readonly #holders = new Map<object, Holder>()
  /** How many events have begun in each slot of time, the oldest first. */
  readonly #begun = new Map<number, number>()

  /** @param nowMs on a monotonic clock. */
  exchange(group: string, holder: object, limits: GroupLimits, call: PermitCall, nowMs: number): TakenPermits {
    const own = this.#holders.get(holder)
    this.#holders.delete(holder)
    const others = [...this.#holders.values()]
    if (others.length > 0) refuseOtherLimits(group, limits, this.#limits)
    this.#limits = limits
    for (const slot of this.#begun.keys()) if (endOf(slot) <= nowMs) this.#begun.delete(slot)
    const slot = Math.floor(nowMs / rateSlotMs)
    if (call.begun > 0) this.#begun.set(slot, (this.#begun.get(slot) ?? 0) + call.begun)
    const bounds = [this.#byConcurrency(others, call, nowMs), this.#byRate(others, nowMs)]
    let [taken, full, retryAfterMs] = [call.most, null as TakenPermits['full'], 0]
    for (const bound of bounds) {
      if (bound === null || bound.free >= taken) continue
      taken = bound.free
      full = { limit: bound.limit, used: bound.used }
      retryAfterMs = bound.retryAfterMs
    }
    if (taken < call.least) taken = 0
    const isWaiting = own !== undefined && nowMs - own.askedAt < maxSilentMs
    const waitsSince = taken === call.most ? null : isWaiting ? (own.waitsSince ?? nowMs) : nowMs
    const now = { atWork: call.atWork, inHand: taken, waitsSince, askedAt: nowMs, least: call.least }
    if (!call.isLast) this.#holders.set(holder, now)
    return { taken, full, retryAfterMs }
  }

  #byConcurrency(others: readonly Holder[], { atWork }: PermitCall, nowMs: number) {
    const { groupConcurrency } = this.#limits
    if (groupConcurrency === undefined) return null
    const waiting = others.filter(({ waitsSince, askedAt }) => waitsSince !== null && nowMs - askedAt < maxSilentMs)
    const holding = others.filter((one) => countOf(one) > 0 || waiting.includes(one))
    const share = Math.floor(groupConcurrency / (1 + holding.length))
    const reserved = waiting
      .filter(({ waitsSince }) => nowMs - waitsSince! >= maxUnfairMs)
      .reduce((sum, one) => sum + Math.max(0, Math.max(one.least, share) - countOf(one)), 0)
    const used = atWork + others.reduce((sum, one) => sum + countOf(one), 0)
    const room = groupConcurrency - used
    const free = Math.max(0, Math.min(room, Math.max(room - reserved, share - atWork)))
    return { limit: 'groupConcurrency', used, free, retryAfterMs: permitPollMs } as const
  }

  #byRate(others: readonly Holder[], nowMs: number) {
    const { ratePerSecond } = this.#limits
    if (ratePerSecond === undefined) return null
    const used = [...this.#begun.values(), ...others.map(({ inHand }) => inHand)].reduce((sum, one) => sum + one, 0)
    const [first] = this.#begun.keys()
    const retryAfterMs = first === undefined ? permitPollMs : Math.ceil(endOf(first) - nowMs)
    return { limit: 'ratePerSecond', used, free: Math.max(0, ratePerSecond - used), retryAfterMs } as const
  }
}

function countOf({ atWork, inHand }: Holder): number {
  return atWork + inHand
}

/** When the events that began in a slot leave the rate's window. */
function endOf(slot: number): number {
  return (slot + 1) * rateSlotMs + rateWindowMs
}
