// Converts between the types of administration.ts and the messages of millrace.v1.AdminService.

import type { MessageInitShape } from '@bufbuild/protobuf'
import { MillraceError } from '../errors.ts'
import { defaultTopic, priorityOfLane } from '../event/event.ts'
import {
  ReleaseAction as ActionMessage,
  type DeadLetterCauseSchema,
  type DeadLetterFilter as DeadLetterFilterMessage,
  type DeadLetterSchema,
  type GetDeadLetterResponseSchema,
  type GetEventResponseSchema,
  type HeldKeySchema,
  type PauseGroupRequest,
  type RedriveDeadLettersRequest,
  type ReleaseKeyRequest,
  type ReplayRequest as ReplayRequestMessage,
  type StoredEventSchema,
} from '../gen/millrace/v1/admin_pb.ts'
import type { Priority } from '../gen/millrace/v1/event_pb.ts'
import { microsOf, timestampOf } from '../lib/timestamp.ts'
import {
  type DeadLetterDetail,
  defaultReplayGroup,
  type GroupName,
  type HeldKey,
  type Journey,
  type RedriveRequest,
  type ReleaseAction,
  type ReplayRequest,
  rateLimits,
} from '../pipeline/administration.ts'
import type { DeadLetterCause, DeadLetterFilter, DeadLetterSummary } from '../pipeline/dead-letters.ts'
import type { StoredEvent } from '../pipeline/stored-event.ts'

export function filterOfMessage(message: DeadLetterFilterMessage | undefined): DeadLetterFilter {
  if (message === undefined) return {}
  const { deadLetterIds, topic, group, type, code, since, until, redriven } = message
  return {
    deadLetterIds: deadLetterIds.length === 0 ? undefined : deadLetterIds,
    topic: topic || undefined,
    group: group || undefined,
    type: type || undefined,
    code: code || undefined,
    sinceMicros: since === undefined ? undefined : Number(microsOf(since)),
    untilMicros: until === undefined ? undefined : Number(microsOf(until)),
    isRedriven: redriven,
  }
}

export function redriveOfMessage(message: RedriveDeadLettersRequest): RedriveRequest {
  const { filter, rate, dryRun, data, dataContentType, cursor } = message
  if (data === undefined && dataContentType !== '') {
    throw new MillraceError('invalid_event', 'data_content_type is given without data', { field: 'data_content_type' })
  }
  return {
    filter: filterOfMessage(filter),
    rate: rate || rateLimits.default,
    isDryRun: dryRun,
    edit: data === undefined ? undefined : { data, contentType: dataContentType || undefined },
    cursor: cursor || undefined,
  }
}

export function replayOfMessage(message: ReplayRequestMessage): ReplayRequest {
  const { topic, group, since, from, type, rate, dryRun, cursor } = message
  return {
    topic: topic || defaultTopic,
    group: group || defaultReplayGroup,
    sinceMicros: since === undefined ? undefined : Number(microsOf(since)),
    from: from || undefined,
    type: type || undefined,
    rate: rate || rateLimits.default,
    isDryRun: dryRun,
    cursor: cursor || undefined,
  }
}

export function groupOfMessage({ topic, group }: Pick<PauseGroupRequest, 'topic' | 'group'>): GroupName {
  return { topic: topic || defaultTopic, group }
}

export function toHeldKeyMessage(held: HeldKey): MessageInitShape<typeof HeldKeySchema> {
  const { key, partition, priority, events, attempts, dueAtMicros } = held
  const dueAt = dueAtMicros === null ? undefined : timestampOf(dueAtMicros)
  const lane = priorityOfLane[priority] as Priority
  return { key, partition, priority: lane, events: BigInt(events), attempts, ...(dueAt && { dueAt }) }
}

const actionOfNumber: Readonly<Record<number, ReleaseAction>> = {
  [ActionMessage.RETRY]: 'retry',
  [ActionMessage.RELEASE]: 'release',
  [ActionMessage.SKIP]: 'skip',
}

/** Errors: `invalid_event` (no action, or an unknown one). */
export function actionOfMessage({ action }: Pick<ReleaseKeyRequest, 'action'>): ReleaseAction {
  const found = actionOfNumber[action]
  if (found !== undefined) return found
  throw new MillraceError('invalid_event', 'action is missing: give RETRY, RELEASE or SKIP', { field: 'action' })
}

export function toDeadLetterMessage(letter: DeadLetterSummary): MessageInitShape<typeof DeadLetterSchema> {
  const { eventId, firstFailedAtMicros, deadAtMicros, history, redrivenAtMicros, ...same } = letter
  return {
    ...same,
    eventId: eventId ?? '',
    firstFailedAt: timestampOf(firstFailedAtMicros),
    deadAt: timestampOf(deadAtMicros),
    history: history.map(({ atMicros, ...attempt }) => ({ ...attempt, at: timestampOf(atMicros) })),
    ...(redrivenAtMicros === null ? {} : { redrivenAt: timestampOf(redrivenAtMicros) }),
  }
}

export function toCauseMessage(cause: DeadLetterCause): MessageInitShape<typeof DeadLetterCauseSchema> {
  const { deadLetters, firstDeadAtMicros, lastDeadAtMicros, ...same } = cause
  return {
    ...same,
    deadLetters: BigInt(deadLetters),
    firstDeadAt: timestampOf(firstDeadAtMicros),
    lastDeadAt: timestampOf(lastDeadAtMicros),
  }
}

export function toDetailMessage(detail: DeadLetterDetail): MessageInitShape<typeof GetDeadLetterResponseSchema> {
  const { letter, event, damagedBytes } = detail
  return {
    deadLetter: toDeadLetterMessage(letter),
    ...(event === null ? {} : { event: toStoredEventMessage(event) }),
    ...(damagedBytes === null ? {} : { damagedBytes }),
  }
}

export function toJourneyMessage({ event, state, steps }: Journey): MessageInitShape<typeof GetEventResponseSchema> {
  return {
    event: toStoredEventMessage(event),
    state,
    steps: steps.map((step) => ({
      kind: step.kind,
      ...(step.atMicros === null ? {} : { at: timestampOf(step.atMicros) }),
      group: step.group ?? '',
      attempt: step.attempt ?? 0,
      code: step.code ?? '',
      message: step.message ?? '',
      position: step.position ?? '',
      deadLetterId: step.deadLetterId ?? '',
    })),
  }
}

function toStoredEventMessage(stored: StoredEvent): MessageInitShape<typeof StoredEventSchema> {
  const { eventId, topic, id, source, type, subject, dataContentType, key, attributes, data } = stored
  return {
    eventId,
    topic,
    dataOmitted: stored.dataOmitted ?? '',
    event: {
      id,
      source,
      type,
      subject,
      time: timestampOf(stored.timeMicros),
      data: data ?? new Uint8Array(0),
      dataContentType,
      priority: priorityOfLane[stored.lane] as Priority,
      key,
      attributes: Object.fromEntries(attributes),
      receivedAt: timestampOf(stored.receivedAtMicros),
    },
  }
}
