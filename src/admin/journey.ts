// Builds the journey of one event from its row and its dead letters.

import type { Position } from '../event-log/event-log.ts'
import { formatPosition } from '../event-log/position-text.ts'
import type { Journey, JourneyStep } from '../pipeline/administration.ts'
import type { DeadLetterSummary } from '../pipeline/dead-letters.ts'
import type { StoredEvent } from '../pipeline/stored-event.ts'

/**
 * @param event the event as it landed, or as in its newest dead letter.
 * @param landedAt the position that its row records; null when it has no row.
 */
export function journeyOf(
  event: StoredEvent,
  landedAt: Position | null,
  letters: readonly DeadLetterSummary[],
): Journey {
  const inOrder = letters.toSorted((a, b) => a.deadAtMicros - b.deadAtMicros || a.redrives - b.redrives)
  const accepted = step('accepted', event.receivedAtMicros, {
    position: landedAt === null ? (inOrder[0]?.history[0]?.position ?? null) : formatPosition(landedAt),
  })
  const tries = inOrder.flatMap(stepsOfLetter).toSorted((a, b) => (a.atMicros ?? 0) - (b.atMicros ?? 0))
  const steps = [accepted, ...tries]
  if (landedAt !== null) return { event, state: 'landed', steps: [...steps, step('landed', null, {})] }
  return { event, state: inOrder.at(-1)?.redrivenAtMicros === null ? 'dead' : 'waiting', steps }
}

function stepsOfLetter(letter: DeadLetterSummary): JourneyStep[] {
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
