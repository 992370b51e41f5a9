// A dead letter with its event, and a journey, as JSON text: the event's data is inserted as it was sent.

import type { DeadLetterDetail, Journey, JourneyStep } from '../../pipeline/administration.ts'
import { deadLetter, journeyStep } from '../../wire/administration.ts'
import { eventJson } from './event-json.ts'

export function deadLetterDetailJson({ letter, event, damagedBytes }: DeadLetterDetail): string {
  const damaged = damagedBytes === null ? null : Buffer.from(damagedBytes).toString('base64')
  const members = JSON.stringify({ ...deadLetter.toJson(letter), damaged_base64: damaged })
  return `${members.slice(0, -1)},"event":${event === null ? 'null' : eventJson(event)}}`
}

/** `{"event": {...}, "journey": {"state": ..., "steps": [...]}}`. */
export function journeyJson({ event, state, steps }: Journey): string {
  return `{"event":${eventJson(event)},"journey":${JSON.stringify({ state, steps: steps.map(stepJson) })}}`
}

/** Without what does not apply to the step. */
function stepJson(step: JourneyStep): object {
  const { kind, at, ...facts } = journeyStep.toJson(step)
  const known = Object.entries(facts).filter(([, value]) => value !== null)
  return { step: kind, at, ...Object.fromEntries(known) }
}
