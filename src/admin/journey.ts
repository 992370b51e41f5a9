// Builds the journey of one event from its row, its dead letters, and the times that this process keeps of its handlers.

import type { Position } from '../event-log/event-log.ts'
import { formatPosition } from '../event-log/position-text.ts'
import type { Journey, JourneyStep } from '../pipeline/administration.ts'
import type { DeadLetterSummary } from '../pipeline/dead-letters.ts'
import type { StoredEvent } from '../pipeline/stored-event.ts'
import type { TimesOfDelivery } from '../workers/delivery-times.ts'
import type { HandlerGroup } from './admin-parts.ts'

/** What this process knows of the handlers that get an event. */
export interface HandledTimes {
  /** The event's deliveries that this process keeps, in the order in which they began. */
  readonly deliveries: readonly TimesOfDelivery[]
  /** The groups that may get the event. */
  readonly groups: readonly HandlerGroup[]
  /** How many deliveries this process keeps. */
  readonly maxDeliveries: number
}

/**
 * @param event the event as it landed, or as in its newest dead letter.
 * @param landedAt the position that its row records; null when it has no row.
 */
export function journeyOf(
  event: StoredEvent,
  landedAt: Position | null,
  letters: readonly DeadLetterSummary[],
  handled: HandledTimes,
): Journey {
  const inOrder = letters.toSorted((a, b) => a.deadAtMicros - b.deadAtMicros || a.redrives - b.redrives)
  const accepted = step('accepted', event.receivedAtMicros, {
    position: landedAt === null ? (inOrder[0]?.history[0]?.position ?? null) : formatPosition(landedAt),
  })
  const deaths = new Map(handled.deliveries.map((delivery) => [delivery, inOrder.find(endedWith(delivery))]))
  const told = new Set(deaths.values())
  const tries = [
    ...Array.from(deaths, ([delivery, death]) => stepsOfDelivery(delivery, death)).flat(),
    ...inOrder.flatMap((letter) => stepsOfLetter(letter, told.has(letter))),
  ].toSorted((a, b) => (a.atMicros ?? 0) - (b.atMicros ?? 0))
  const landed = landedAt === null ? [] : [step('landed', null, {})]
  const newest = inOrder.at(-1)
  return {
    event,
    state: landedAt !== null ? 'landed' : newest?.redrivenAtMicros === null ? 'dead' : 'waiting',
    steps: [accepted, ...tries, ...landed, ...stepsNotKept(handled)],
  }
}

/** Whether a delivery ended with a letter: it is dated when it is stored, before the delivery is settled. */
function endedWith({ group, attempt, endedAtMs, settledAtMs }: TimesOfDelivery) {
  return (letter: DeadLetterSummary) =>
    letter.group === group &&
    letter.attempts === attempt &&
    letter.deadAtMicros >= (endedAtMs ?? Infinity) * 1000 &&
    letter.deadAtMicros <= (settledAtMs ?? Infinity) * 1000
}

function stepsOfDelivery(delivery: TimesOfDelivery, death: DeadLetterSummary | undefined): JourneyStep[] {
  const { group, attempt, failure, handedOutAtMs, begunAtMs, endedAtMs, settledAtMs } = delivery
  const at = (kind: JourneyStep['kind'], atMs: number | null, facts: Partial<JourneyStep> = {}) =>
    atMs === null ? [] : [step(kind, atMs * 1000, { group, attempt, ...facts })]
  return [
    ...at('handed_out', handedOutAtMs),
    ...at('begun', begunAtMs),
    ...(failure === null ? at('ended', endedAtMs) : at('failed', endedAtMs, failure)),
    ...(death === undefined ? [] : [deadStep(death)]),
    ...at('settled', settledAtMs),
  ]
}

/** @param isTold whether a delivery tells how the last attempt failed, and the death. */
function stepsOfLetter(letter: DeadLetterSummary, isTold: boolean): JourneyStep[] {
  const { group, history, deadLetterId, redrivenAtMicros } = letter
  const failed = history.map(({ atMicros, ...facts }) => step('failed', atMicros, { group, ...facts }))
  return [
    ...(isTold ? failed.slice(0, -1) : [...failed, deadStep(letter)]),
    ...(redrivenAtMicros === null ? [] : [step('redriven', redrivenAtMicros, { group, deadLetterId })]),
  ]
}

function deadStep({ group, code, message, deadLetterId, deadAtMicros }: DeadLetterSummary): JourneyStep {
  return step('dead', deadAtMicros, { group, code, message, deadLetterId })
}

/** For each group of which this process has no times, or not those of the first attempts, why. */
function stepsNotKept({ deliveries, groups, maxDeliveries }: HandledTimes): JourneyStep[] {
  return groups.flatMap(({ group, types }) => {
    const first = deliveries.find((delivery) => delivery.group === group)
    if (first?.attempt === 1) return []
    const earlier = `another process, or before the last ${maxDeliveries} deliveries of this one`
    const message =
      first !== undefined
        ? `the attempts before attempt ${first.attempt} were made in ${earlier}`
        : types === null
          ? 'the process that was asked has no handler of this group; each process keeps its own times'
          : `it waits for this group, or was delivered in ${earlier}`
    return [step('not_kept', null, { group, message })]
  })
}

function step(kind: JourneyStep['kind'], atMicros: number | null, facts: Partial<JourneyStep>): JourneyStep {
  const none = { group: null, attempt: null, code: null, message: null, position: null, deadLetterId: null }
  return { kind, atMicros, ...none, ...facts }
}
