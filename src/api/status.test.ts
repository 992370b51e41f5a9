import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, errorCodes } from '../errors.ts'
import {
  codeOfGrpcStatus,
  codeOfHttpStatus,
  grpcStatus,
  grpcStatusNameOf,
  grpcStatusOf,
  httpStatusOf,
} from './status.ts'

const expected: readonly (readonly [ErrorCode, keyof typeof grpcStatus, number])[] = [
  ['invalid_event', 'INVALID_ARGUMENT', 400],
  ['event_too_large', 'INVALID_ARGUMENT', 413],
  ['message_too_large', 'RESOURCE_EXHAUSTED', 413],
  ['too_many_events', 'INVALID_ARGUMENT', 413],
  ['unsupported_media_type', 'INVALID_ARGUMENT', 415],
  ['unauthenticated', 'UNAUTHENTICATED', 401],
  ['permission_denied', 'PERMISSION_DENIED', 403],
  ['not_found', 'NOT_FOUND', 404],
  ['already_exists', 'ALREADY_EXISTS', 409],
  ['backlogged', 'RESOURCE_EXHAUSTED', 429],
  ['disk_full', 'RESOURCE_EXHAUSTED', 429],
  ['draining', 'UNAVAILABLE', 503],
  ['unavailable', 'UNAVAILABLE', 503],
  ['durability_lost', 'UNAVAILABLE', 503],
  ['deadline_exceeded', 'DEADLINE_EXCEEDED', 504],
  ['cancelled', 'CANCELLED', 499],
  ['out_of_range', 'OUT_OF_RANGE', 400],
  ['failed_precondition', 'FAILED_PRECONDITION', 400],
  ['refused_by_store', 'INTERNAL', 500],
  ['corrupt', 'DATA_LOSS', 500],
  ['unimplemented', 'UNIMPLEMENTED', 501],
  ['internal', 'INTERNAL', 500],
]

test('every code has one gRPC status and one HTTP status', () => {
  assert.deepEqual(expected.map(([code]) => code).toSorted(), Object.keys(errorCodes).toSorted())
  for (const [code, grpc, http] of expected) {
    assert.equal(grpcStatusNameOf(grpcStatusOf(code)), grpc, code)
    assert.equal(httpStatusOf(code), http, code)
  }
})

test('a gRPC status without a code maps to a code that maps back to that status', () => {
  const foreign = new Set(['UNKNOWN', 'ABORTED'])
  for (const [name, number] of Object.entries(grpcStatus)) {
    const code = codeOfGrpcStatus(number)
    if (name === 'OK') assert.equal(code, null)
    else if (!foreign.has(name)) assert.equal(grpcStatusNameOf(grpcStatusOf(code as ErrorCode)), name)
  }
  assert.equal(codeOfGrpcStatus(grpcStatus.UNKNOWN), 'internal')
  assert.equal(codeOfGrpcStatus(grpcStatus.ABORTED), 'failed_precondition')
  assert.equal(codeOfGrpcStatus(99), 'internal')
})

test('an HTTP status set by the library maps to a code that maps back to that status or its class', () => {
  for (const [, , http] of expected) assert.equal(httpStatusOf(codeOfHttpStatus(http)), http)
  assert.equal(codeOfHttpStatus(431), 'invalid_event')
  assert.equal(codeOfHttpStatus(505), 'internal')
})
