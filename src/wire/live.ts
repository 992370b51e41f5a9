// LiveService: the request of Subscribe, the words of a gap, and a row for the unary call. Its frames are written and read where they pass
// (api/grpc/live-service.ts, client/).

import { defaultTopic } from '../event/event.ts'
import {
  LiveService,
  OnSlow as OnSlowNumber,
  GapReason as ReasonNumber,
  SubscribeRequestSchema,
} from '../gen/millrace/v1/live_pb.ts'
import type { GapReason, LiveQuery, OnSlow } from '../pipeline/live.ts'
import { rpc } from './rpc.ts'
import { enumOf, list, orDefault, orEmpty, orNull, shape, text, textMap, whole } from './shape.ts'

/** A reason that is not known: what was between is unknown too. */
export const gapReason = enumOf<GapReason>(
  { slow: ReasonNumber.SLOW, trimmed: ReasonNumber.TRIMMED, lost: ReasonNumber.LOST },
  { unknown: 'lost' },
)

const onSlow = enumOf<OnSlow>(
  {
    drop_oldest: OnSlowNumber.DROP_OLDEST,
    latest_per_key: OnSlowNumber.LATEST_PER_KEY,
    disconnect: OnSlowNumber.DISCONNECT,
  },
  { unspecified: 'drop_oldest' },
)

export const liveQuery = shape<Omit<LiveQuery, 'caller'>>(SubscribeRequestSchema, {
  subscriberId: text,
  topic: orDefault(text, defaultTopic),
  types: list(text),
  sources: list(text),
  subjects: list(text),
  attributes: textMap,
  from: text,
  maxBufferedEvents: orNull(whole),
  onSlow,
})

export const getCursor = rpc<{ readonly topic: string }, { readonly cursor: string | null }>(
  LiveService.method.getCursor,
  { topic: orDefault(text, defaultTopic) },
  { cursor: orEmpty(text) },
)
