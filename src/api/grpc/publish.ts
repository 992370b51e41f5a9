// IngestService.Publish: one message, one verdict for each of its events.

import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import { toMillraceError } from '../../errors.ts'
import { type PublishResponse, PublishResponseSchema, type RejectionSchema } from '../../gen/millrace/v1/ingest_pb.ts'
import type { Pipeline, PublishOptions, PublishVerdict } from '../../pipeline/pipeline.ts'
import type { HistogramSeries } from '../../telemetry/metric-family.ts'
import { toDurability, toRejection } from '../../wire/publish.ts'
import { failureOfVerdict } from '../call-verdict.ts'
import { maxPublishWaitMs } from '../publish-wait.ts'
import { traceOfMetadata } from './call-trace.ts'
import { MessageFields } from './message-fields.ts'
import { richStatusOf } from './rich-status.ts'

/** Part of the caller's deadline that is reserved for the answer itself. */
const deadlineMarginMs = 50

/** Clients accept 4 MiB per message by default. */
const maxResponseBytes = 4_000_000

export function publishHandler(pipeline: Pipeline, publishDuration: HistogramSeries) {
  const fields = new MessageFields()
  return (call: ServerUnaryCall<Buffer, PublishResponse>, callback: sendUnaryData<PublishResponse>): void => {
    const startedAt = performance.now()
    const fail = (error: unknown) => callback(richStatusOf(toMillraceError(error)))
    try {
      const { topic, overflow, answerAlways } = fields.read(call.request)
      const options = overflow === 'wait' ? waitOptionsOf(call) : undefined
      const trace = traceOfMetadata(call.metadata)
      pipeline.publish({ topic, overflow, message: call.request, trace }, options).then((verdict) => {
        publishDuration.observe((performance.now() - startedAt) / 1000)
        answer(verdict, answerAlways, callback)
      }, fail)
    } catch (error) {
      fail(error)
    }
  }
}

function waitOptionsOf(call: ServerUnaryCall<Buffer, PublishResponse>): PublishOptions {
  const gone = new AbortController()
  call.on('cancelled', () => gone.abort())
  const deadline = call.getDeadline()
  const leftMs = (deadline instanceof Date ? deadline.getTime() : deadline) - Date.now() - deadlineMarginMs
  return { maxWaitMs: Math.max(0, Math.min(maxPublishWaitMs, leftMs)), signal: gone.signal }
}

function answer(verdict: PublishVerdict, always: boolean, callback: sendUnaryData<PublishResponse>): void {
  const failure = always ? null : failureOfVerdict(verdict)
  if (failure === null) {
    callback(null, toPublishResponse(verdict))
    return
  }
  const violations = verdict.rejections
    .slice(0, 8)
    .map(({ index, message }) => ({ field: `events[${index}]`, description: message }))
  callback(richStatusOf(failure, violations))
}

/** Lists every rejection. If the answer would be too large, messages are left out first, then ids. */
function toPublishResponse(verdict: PublishVerdict): PublishResponse {
  let rejections = verdict.rejections.map((rejection) => toRejection(rejection, 0, 0))
  if (estimatedBytes(rejections) > maxResponseBytes) {
    rejections = rejections.map((rejection, index) => (index < 1000 ? rejection : { ...rejection, message: '' }))
  }
  if (estimatedBytes(rejections) > maxResponseBytes) {
    rejections = rejections.map((rejection, index) => (index < 1000 ? rejection : { ...rejection, id: '' }))
  }
  return create(PublishResponseSchema, {
    accepted: BigInt(verdict.accepted),
    dropped: BigInt(verdict.dropped),
    rejections,
    durability: toDurability(verdict.durability),
  })
}

/** An upper bound: the other fields of a rejection take less than 40 bytes. */
function estimatedBytes(rejections: readonly MessageInitShape<typeof RejectionSchema>[]): number {
  let bytes = 0
  for (const { id = '', code = '', message = '' } of rejections) {
    bytes += Buffer.byteLength(id) + code.length + Buffer.byteLength(message) + 40
  }
  return bytes
}
