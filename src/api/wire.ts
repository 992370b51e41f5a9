// Converts between the domain's types and millrace.v1: overflow policies of requests, verdicts and status of answers.
//
// Not its job: reading requests (grpc/message-fields.ts), the JSON of HTTP (http/), errors (status.ts).

import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt'
import { MillraceError, type Taken } from '../errors.ts'
import type { Durability as DurabilityName } from '../event/durability.ts'
import {
  type GroupStateSchema,
  type GroupStatusSchema,
  type Status as StatusMessage,
  StatusSchema,
} from '../gen/millrace/v1/admin_pb.ts'
import {
  Durability,
  Overflow as OverflowNumber,
  type PublishStreamResponse,
  PublishStreamResponseSchema,
  PublishStreamStatus,
  type RejectionSchema,
} from '../gen/millrace/v1/ingest_pb.ts'
import { timestampOf } from '../lib/timestamp.ts'
import type { GroupState } from '../pipeline/group-state.ts'
import type { GroupStatus, Overflow, Rejection, Status } from '../pipeline/pipeline.ts'
import { retryAfterMsOf } from './call-verdict.ts'

const durabilityNumbers = {
  memory: Durability.MEMORY,
  broker: Durability.BROKER,
  disk: Durability.DISK,
  replicated: Durability.REPLICATED,
} as const

export function toDurability(name: DurabilityName): Durability {
  return durabilityNumbers[name]
}

/** The overflow policy of a number on the wire; null for an unknown number. */
export function toOverflow(number: number): Overflow | null {
  switch (number) {
    case OverflowNumber.UNSPECIFIED:
    case OverflowNumber.REJECT:
      return 'reject'
    case OverflowNumber.DROP:
      return 'drop'
    case OverflowNumber.WAIT:
      return 'wait'
    default:
      return null
  }
}

/** @param firstIndex index of the message's first event in the call; @param sequence of the message, `Produce` only. */
export function toRejection(
  rejection: Rejection,
  firstIndex: number,
  sequence: number,
): MessageInitShape<typeof RejectionSchema> {
  const { id, code, message } = rejection
  const retryAfterMs = retryAfterMsOf(rejection)
  const index = BigInt(firstIndex + rejection.index)
  return retryAfterMs === undefined
    ? { sequence: BigInt(sequence), index, id, code, message }
    : { sequence: BigInt(sequence), index, id, code, message, retryAfter: toDuration(retryAfterMs) }
}

/** What a call took: the answer to PublishStream, and a detail of the status of a call that failed. */
export function toSummary(
  { accepted, dropped, rejected }: Taken,
  rejections: MessageInitShape<typeof RejectionSchema>[],
  durability: Durability,
): PublishStreamResponse {
  const refused = dropped + rejected
  const some = accepted > 0 ? PublishStreamStatus.SOME_REFUSED : PublishStreamStatus.NONE_ACCEPTED
  return create(PublishStreamResponseSchema, {
    received: BigInt(accepted + refused),
    accepted: BigInt(accepted),
    dropped: BigInt(dropped),
    rejected: BigInt(rejected),
    status: refused === 0 ? PublishStreamStatus.ALL_ACCEPTED : some,
    rejections,
    durability,
  })
}

/** In milliseconds. Throws `invalid_event` for a negative one. */
export function ofDuration(field: string, { seconds, nanos }: Duration): number {
  if (seconds >= 0n && nanos >= 0) return Number(seconds) * 1000 + Math.ceil(nanos / 1e6)
  throw new MillraceError('invalid_event', `${field} is negative`, { field })
}

export function toDuration(milliseconds: number): Duration {
  const seconds = Math.floor(milliseconds / 1000)
  const nanos = Math.round((milliseconds - seconds * 1000) * 1e6)
  return create(DurationSchema, { seconds: BigInt(seconds), nanos })
}

/** A null value, which is unknown, is left absent. */
export function toStatusMessage(status: Status): StatusMessage {
  return create(StatusSchema, {
    version: status.version,
    uptimeSeconds: status.uptimeSeconds,
    durability: status.durability,
    log: { driver: status.log.driver, epoch: toCount(status.log.epoch) },
    store: status.store,
    state: status.state,
    causes: [...status.causes],
    topics: status.topics.map((topic) => ({ ...topic, groups: topic.groups.map(toGroup) })),
    ledger: status.ledger.map((row) => ({
      topic: row.topic,
      group: row.group,
      accepted: toCount(row.accepted),
      reopened: toCount(row.reopened),
      waiting: toCount(row.waiting),
      landed: toCount(row.landed),
      dead: toCount(row.dead),
      lost: toCount(row.lost),
      balanced: row.balanced ?? undefined,
    })),
    processes: status.processes.map(({ startedAtMs, roles, ...same }) => ({
      ...{ ...same, roles: [...roles], startedAt: timestampOf(startedAtMs * 1000) },
    })),
    subscribers: toCount(status.subscribers),
    workers: toCount(status.workers),
  })
}

function toGroup(group: GroupStatus): MessageInitShape<typeof GroupStatusSchema> {
  return {
    name: group.name,
    types: [...group.types],
    waiting: toCount(group.waiting),
    ready: toCount(group.ready),
    scheduled: toCount(group.scheduled),
    held: toCount(group.held),
    inFlight: toCount(group.inFlight),
    skipped: toCount(group.skipped),
    oldestWaitingSeconds: group.oldestWaitingSeconds ?? undefined,
    state: toGroupState(group.state),
  }
}

function toGroupState({ is, by, reason, sinceMs }: GroupState): MessageInitShape<typeof GroupStateSchema> {
  const since = sinceMs === null ? undefined : timestampOf(sinceMs * 1000)
  return { is, by: by ?? undefined, reason: reason ?? undefined, since }
}

function toCount(count: number | null): bigint | undefined {
  return count === null ? undefined : BigInt(count)
}
