// Dead letters and journeys as JSON, for the HTTP routes and the command line. Times are RFC 3339.

import { formatRfc3339 } from '../../lib/rfc3339.ts'
import type { DeadLetterDetail, HeldKey, Journey, JourneyStep } from '../../pipeline/administration.ts'
import type { DeadLetterCause, DeadLetterSummary } from '../../pipeline/dead-letters.ts'
import { eventJson } from './event-json.ts'

export function deadLetterJson(letter: DeadLetterSummary): object {
  return {
    dead_letter_id: letter.deadLetterId,
    event_id: letter.eventId,
    topic: letter.topic,
    group: letter.group,
    type: letter.type,
    source: letter.source,
    code: letter.code,
    message: letter.message,
    attempts: letter.attempts,
    first_failed_at: formatRfc3339(letter.firstFailedAtMicros),
    dead_at: formatRfc3339(letter.deadAtMicros),
    history: letter.history.map(({ attempt, atMicros, code, message, position }) => ({
      attempt,
      at: formatRfc3339(atMicros),
      code,
      message,
      position,
    })),
    redriven_at: timeOrNull(letter.redrivenAtMicros),
    redrives: letter.redrives,
  }
}

export function heldKeyJson(held: HeldKey): object {
  const { key, partition, priority, events, attempts, dueAtMicros } = held
  return { key, partition, priority, events, attempts, due_at: timeOrNull(dueAtMicros) }
}

/** JSON text, because the event's data is inserted as it was sent. */
export function deadLetterDetailJson({ letter, event, damagedBytes }: DeadLetterDetail): string {
  const damaged = damagedBytes === null ? null : Buffer.from(damagedBytes).toString('base64')
  const members = JSON.stringify({ ...deadLetterJson(letter), damaged_base64: damaged })
  return `${members.slice(0, -1)},"event":${event === null ? 'null' : eventJson(event)}}`
}

export function causeJson(cause: DeadLetterCause): object {
  return {
    topic: cause.topic,
    group: cause.group,
    type: cause.type,
    code: cause.code,
    message: cause.message,
    dead_letters: cause.deadLetters,
    first_dead_at: formatRfc3339(cause.firstDeadAtMicros),
    last_dead_at: formatRfc3339(cause.lastDeadAtMicros),
  }
}

/** JSON text: `{"event": {...}, "journey": {"state": ..., "steps": [...]}}`. */
export function journeyJson({ event, state, steps }: Journey): string {
  return `{"event":${eventJson(event)},"journey":${JSON.stringify({ state, steps: steps.map(stepJson) })}}`
}

function stepJson({ kind, atMicros, group, attempt, code, message, position, deadLetterId }: JourneyStep): object {
  const facts = { group, attempt, code, message, position, dead_letter_id: deadLetterId }
  const known = Object.entries(facts).filter(([, value]) => value !== null)
  return { step: kind, at: timeOrNull(atMicros), ...Object.fromEntries(known) }
}

function timeOrNull(micros: number | null): string | null {
  return micros === null ? null : formatRfc3339(micros)
}
