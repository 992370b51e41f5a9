// RequestService: a row for each call. Both have answers with the same fields.

import type { DescMessage } from '@bufbuild/protobuf'
import {
  GetReplyResponseSchema,
  RequestResponseSchema,
  RequestService,
  RequestStage as StageNumber,
} from '../gen/millrace/v1/request_pb.ts'
import type { Reply, ReplyQuery, RequestAnswer, RequestMessage } from '../pipeline/requests.ts'
import { duration } from './durations.ts'
import { rpc } from './rpc.ts'
import { by, bytes, enumOf, type Kind, number, orNull, shape, text } from './shape.ts'

/** A stage that is not known is the first one. */
const stage = enumOf<RequestAnswer['stage']>(
  { accepted: StageNumber.ACCEPTED, started: StageNumber.STARTED, replied: StageNumber.REPLIED },
  { unknown: 'accepted' },
)

type Parts = Pick<RequestAnswer, 'requestId' | 'stage'> & Reply

const noReply: Reply = { data: new Uint8Array(0), dataContentType: '', attempts: 0 }

const answerOf = (schema: DescMessage) =>
  by<RequestAnswer, Parts>(
    shape(schema, { requestId: text, data: bytes, dataContentType: text, attempts: number, stage }),
    ({ requestId, stage: at, reply }) => ({ requestId, stage: at, ...(reply ?? noReply) }),
    ({ requestId, stage: at, ...reply }) =>
      at === 'replied' ? { requestId, stage: at, reply } : { requestId, stage: at, reply: null },
  )

const attributes: Kind<Readonly<Record<string, string>>> = {
  toWire: (value) => value,
  ofWire: (wire: Readonly<Record<string, string>>) => wire,
  toJson: (value) => value,
}

/** Without `waitMs` the deadline of the call is that of the request. */
type SentRequest = Pick<RequestMessage, 'type' | 'requestId' | 'data' | 'dataContentType' | 'attributes' | 'waitMs'>
type SentQuery = Pick<ReplyQuery, 'requestId' | 'type'> & { readonly waitMs: number | null }

export const requestRpcs = {
  request: rpc<SentRequest, RequestAnswer>(
    RequestService.method.request,
    { type: text, data: bytes, dataContentType: text, requestId: text, attributes, waitMs: orNull(duration) },
    answerOf(RequestResponseSchema),
  ),
  getReply: rpc<SentQuery, RequestAnswer>(
    RequestService.method.getReply,
    { requestId: text, waitMs: orNull(duration), type: text },
    answerOf(GetReplyResponseSchema),
  ),
}
