// Converts messages of AdminService to the types of administration.ts.

import { MillraceError } from '../errors.ts'
import { defaultContentType } from '../event/event.ts'
import { isJsonData } from '../event/event-data.ts'
import { laneOfPriority } from '../event/record-batch.ts'
import type {
  DeadLetter,
  DeadLetterCause as DeadLetterCauseMessage,
  GetDeadLetterResponse,
  GetEventResponse,
  HeldKey as HeldKeyMessage,
  StoredEvent as StoredEventMessage,
} from '../gen/millrace/v1/admin_pb.ts'
import { microsOf, type Timestamp } from '../lib/timestamp.ts'
import type { DeadLetterDetail, HeldKey, Journey, JourneyStep } from '../pipeline/administration.ts'
import type { DeadLetterCause, DeadLetterSummary } from '../pipeline/dead-letters.ts'
import type { StoredEvent } from '../pipeline/stored-event.ts'

export function journeyOfWire({ event, state, steps }: GetEventResponse): Journey {
  return {
    event: storedEventOfWire(event),
    state: state as Journey['state'],
    steps: steps.map((step) => ({
      kind: step.kind as JourneyStep['kind'],
      atMicros: timeOrNull(step.at),
      group: step.group || null,
      attempt: step.attempt || null,
      code: step.code || null,
      message: step.message || null,
      position: step.position || null,
      deadLetterId: step.deadLetterId || null,
    })),
  }
}

export function heldKeyOfWire({ key, partition, priority, events, attempts, dueAt }: HeldKeyMessage): HeldKey {
  const dueAtMicros = timeOrNull(dueAt)
  return { key, partition, priority: laneOfPriority(priority), events: Number(events), attempts, dueAtMicros }
}

export function deadLetterOfWire(message: DeadLetter): DeadLetterSummary {
  return {
    deadLetterId: message.deadLetterId,
    eventId: message.eventId || null,
    topic: message.topic,
    group: message.group,
    type: message.type,
    source: message.source,
    code: message.code,
    message: message.message,
    attempts: message.attempts,
    firstFailedAtMicros: timeOrNull(message.firstFailedAt) ?? 0,
    deadAtMicros: timeOrNull(message.deadAt) ?? 0,
    history: message.history.map(({ attempt, at, code, message: text, position }) => ({
      attempt,
      atMicros: timeOrNull(at) ?? 0,
      code,
      message: text,
      position,
    })),
    redrivenAtMicros: timeOrNull(message.redrivenAt),
    redrives: message.redrives,
  }
}

export function detailOfWire({ deadLetter, event, damagedBytes }: GetDeadLetterResponse): DeadLetterDetail {
  if (deadLetter === undefined) throw new MillraceError('internal', 'the server answered without a dead letter')
  return {
    letter: deadLetterOfWire(deadLetter),
    event: event === undefined ? null : storedEventOfWire(event),
    damagedBytes: event === undefined ? damagedBytes : null,
  }
}

export function causeOfWire(message: DeadLetterCauseMessage): DeadLetterCause {
  const { topic, group, type, code, message: text, deadLetters, firstDeadAt, lastDeadAt } = message
  return {
    topic,
    group,
    type,
    code,
    message: text,
    deadLetters: Number(deadLetters),
    firstDeadAtMicros: timeOrNull(firstDeadAt) ?? 0,
    lastDeadAtMicros: timeOrNull(lastDeadAt) ?? 0,
  }
}

function storedEventOfWire(stored: StoredEventMessage | undefined): StoredEvent {
  const event = stored?.event
  if (stored === undefined || event === undefined) {
    throw new MillraceError('internal', 'the server answered without an event')
  }
  const { data, dataContentType } = event
  return {
    eventId: stored.eventId,
    id: event.id,
    source: event.source,
    type: event.type,
    subject: event.subject,
    timeMicros: event.time === undefined ? 0 : microsOf(event.time),
    receivedAtMicros: timeOrNull(event.receivedAt) ?? 0,
    topic: stored.topic,
    lane: laneOfPriority(event.priority),
    key: event.key,
    data: data.length === 0 ? null : data,
    isJson: isJsonData(data, dataContentType),
    dataOmitted: stored.dataOmitted || null,
    dataContentType: dataContentType || defaultContentType,
    attributes: new Map(Object.entries(event.attributes)),
  }
}

function timeOrNull(time: Timestamp | undefined): number | null {
  return time === undefined ? null : Number(microsOf(time))
}
