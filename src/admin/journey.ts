// What became of one event, put together from its row and its dead letters.

import type { Journey, JourneyStep } from '../administration.ts'
import { formatPosition } from '../event-log/position-text.ts'
import type { DeadLetter } from '../store/dead-letter.ts'
import type { LandedEvent } from '../store/event-store.ts'
import { eventOf } from './dead-letter-content.ts'

/**
 * @param landed its row, or null.
 * @param letters its dead letters. Null when there is neither: then nothing is known.
 */
export function journeyOf(landed: LandedEvent | null, letters: readonly DeadLetter[]): Journey | null {
  const inOrder = letters.toSorted((a, b) => a.deadAtMicros - b.deadAtMicros || a.redrives - b.redrives)
  const last = inOrder.at(-1)
  const event = landed?.event ?? (last === undefined ? null : eventOf(last))
  if (event === null) return null
  const accepted = step('accepted', event.receivedAtMicros, {
    position: landed === null ? (inOrder[0]?.history[0]?.position ?? null) : formatPosition(landed.position),
  })
  const tries = inOrder.flatMap(stepsOfLetter).toSorted((a, b) => (a.atMicros ?? 0) - (b.atMicros ?? 0))
  const steps = [accepted, ...tries]
  if (landed !== null) return { event, state: 'landed', steps: [...steps, step('landed', null, {})] }
  return { event, state: last?.redrivenAtMicros === null ? 'dead' : 'waiting', steps }
}

function stepsOfLetter(letter: DeadLetter): JourneyStep[] {
  const { group, code, message, deadLetterId, deadAtMicros, redrivenAtMicros } = letter
  return [
    ...letter.history.map(({ atMicros, ...failed }) => step('failed', atMicros, { group, ...failed })),
    step('dead', deadAtMicros, { group, code, message, deadLetterId }),
    ...(redrivenAtMicros === null ? [] : [step('redriven', redrivenAtMicros, { group, deadLetterId })]),
  ]
}

function step(kind: JourneyStep['kind'], atMicros: number | null, facts: Partial<JourneyStep>): JourneyStep {
  const none = { group: null, attempt: null, code: null, message: null, position: null, deadLetterId: null }
  return { kind, atMicros, ...none, ...facts }
}
