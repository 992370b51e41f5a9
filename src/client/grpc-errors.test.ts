import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import { Metadata, status } from '@grpc/grpc-js'
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../gen/google/rpc/error_details_pb.ts'
import { StatusSchema } from '../gen/google/rpc/status_pb.ts'
import { PublishStreamResponseSchema } from '../gen/millrace/v1/ingest_pb.ts'
import { errorOfCall, wasTurnedAway } from './grpc-errors.ts'

function detail<Schema extends DescMessage>(schema: Schema, init: MessageInitShape<Schema>) {
  return anyPack(schema, create(schema, init))
}

function withDetails(...details: ReturnType<typeof detail>[]): Metadata {
  const metadata = new Metadata()
  metadata.set('grpc-status-details-bin', Buffer.from(toBinary(StatusSchema, create(StatusSchema, { details }))))
  return metadata
}

test('code, field and retry hint come from the details of a failed call', () => {
  const error = errorOfCall({
    code: status.RESOURCE_EXHAUSTED,
    details: 'the disk is full',
    metadata: withDetails(
      detail(ErrorInfoSchema, { reason: 'DISK_FULL', domain: 'millrace' }),
      detail(RetryInfoSchema, { retryDelay: { seconds: 2n, nanos: 1 } }),
      detail(BadRequestSchema, { fieldViolations: [{ field: 'events[3].type' }, { field: 'events[4].type' }] }),
    ),
  })

  assert.equal(error.code, 'disk_full')
  assert.equal(error.message, 'the disk is full')
  assert.equal(error.retryAfterMs, 2001)
  assert.equal(error.field, 'events[3].type')
  assert.equal(error.retryable, true)
})

test('what a failed publish took comes from its summary; without one it is not known', () => {
  const call = { code: status.UNAVAILABLE, details: 'the server is stopping' }
  const summary = detail(PublishStreamResponseSchema, { received: 23n, accepted: 20n, dropped: 1n, rejected: 2n })

  assert.deepEqual(errorOfCall({ ...call, metadata: withDetails(summary) }).taken, {
    accepted: 20,
    dropped: 1,
    rejected: 2,
  })
  assert.equal(errorOfCall(call).taken, undefined)
})

test('without details the status decides, also for a status that the transport made', () => {
  const codes = Object.fromEntries(
    Object.entries(status)
      .filter(([, code]) => typeof code === 'number' && code !== status.OK)
      .map(([name, code]) => [name, errorOfCall({ code: code as number, details: '' }).code]),
  )
  assert.deepEqual(codes, {
    CANCELLED: 'cancelled',
    UNKNOWN: 'internal',
    INVALID_ARGUMENT: 'invalid_event',
    DEADLINE_EXCEEDED: 'deadline_exceeded',
    NOT_FOUND: 'not_found',
    ALREADY_EXISTS: 'already_exists',
    PERMISSION_DENIED: 'permission_denied',
    RESOURCE_EXHAUSTED: 'backlogged',
    FAILED_PRECONDITION: 'failed_precondition',
    ABORTED: 'failed_precondition',
    OUT_OF_RANGE: 'out_of_range',
    UNIMPLEMENTED: 'unimplemented',
    INTERNAL: 'internal',
    UNAVAILABLE: 'unavailable',
    DATA_LOSS: 'corrupt',
    UNAUTHENTICATED: 'unauthenticated',
  })
  const tooLarge = errorOfCall({
    code: status.RESOURCE_EXHAUSTED,
    details: 'Received message larger than max (9 vs 4)',
  })
  assert.equal(tooLarge.code, 'message_too_large')
  assert.equal(tooLarge.retryable, false)
})

test('details that are broken or unknown do not hide the status', () => {
  const broken = new Metadata()
  broken.set('grpc-status-details-bin', Buffer.from([0xff, 0xff]))
  assert.equal(errorOfCall({ code: status.NOT_FOUND, details: 'no', metadata: broken }).code, 'not_found')
  const unknown = withDetails(detail(ErrorInfoSchema, { reason: 'OF_A_LATER_VERSION' }))
  assert.equal(errorOfCall({ code: status.UNAVAILABLE, details: 'no', metadata: unknown }).code, 'unavailable')
})

test('wasTurnedAway is true only for calls that certainly did not start', () => {
  const unavailable = (details: string, ...more: ReturnType<typeof detail>[]) =>
    wasTurnedAway(errorOfCall({ code: status.UNAVAILABLE, details, metadata: withDetails(...more) }))
  assert.ok(unavailable('Stream refused by server'))
  assert.ok(unavailable('No connection established. Last error: connect ECONNREFUSED'))
  assert.ok(unavailable('the server is stopping', detail(ErrorInfoSchema, { reason: 'DRAINING' })))
  assert.ok(!unavailable('Connection dropped'))
  assert.ok(!unavailable('the log gave no answer', detail(ErrorInfoSchema, { reason: 'UNAVAILABLE' })))
})
