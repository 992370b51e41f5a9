// WorkService.Consume: how a worker joins, and why a delivery is revoked. What ends a delivery is written and read where it
// passes (api/grpc/consume.ts, client/consume-call.ts).

import { defaultTopic } from '../event/event.ts'
import {
  JoinSchema,
  OnExhausted as OnExhaustedNumber,
  RevokeReason as RevokeNumber,
} from '../gen/millrace/v1/work_pb.ts'
import type { RevokeReason, WorkJoin } from '../pipeline/work.ts'
import { anyDuration } from './durations.ts'
import { by, enumOf, flag, type Kind, list, number, orEmpty, orNull, shape, text } from './shape.ts'

type OnExhausted = NonNullable<WorkJoin['onExhausted']>

const policy = enumOf<OnExhausted>({
  ...{ 'dead-letter': OnExhaustedNumber.DEAD_LETTER, hold: OnExhaustedNumber.HOLD },
})

const onExhausted: Kind<OnExhausted | null> = {
  ...orNull(policy),
  ofWire: (wire: number) => (wire === 0 ? null : policy.ofWire(wire, 'join.on_exhausted')),
}

export const workJoin = by<WorkJoin, WorkJoin>(
  shape(JoinSchema, {
    request: text,
    topic: text,
    group: text,
    maxInFlight: number,
    types: list(text),
    ordered: orNull(flag),
    timeoutMs: orNull(anyDuration),
    maxAttempts: orEmpty(number),
    initialDelayMs: orNull(anyDuration),
    maxDelayMs: orNull(anyDuration),
    onExhausted,
    groupConcurrency: orEmpty(number),
    ratePerSecond: orEmpty(number),
    limitPerKey: orEmpty(number),
  }),
  (join) => join,
  ({ topic, ...join }) => ({ ...join, topic: topic || (join.request === '' ? defaultTopic : '') }),
)

/** After a reason that is not known an outcome still counts, if it comes soon. */
export const revokeReason = enumOf<RevokeReason>(
  { timeout: RevokeNumber.TIMEOUT, lease_lost: RevokeNumber.LEASE_LOST, shutdown: RevokeNumber.SHUTDOWN },
  { unknown: 'shutdown' },
)
