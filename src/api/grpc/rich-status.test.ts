import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ServiceError } from '@grpc/grpc-js'
import { type ErrorCode, errorCodes, MillraceError } from '../../errors.ts'
import { grpcStatus, grpcStatusOf } from '../status.ts'
import { detailsOf } from './grpc-client.test-support.ts'
import { richStatusOf } from './rich-status.ts'

const details = (...input: Parameters<typeof richStatusOf>) =>
  detailsOf(richStatusOf(...input) as unknown as ServiceError)

test('every error has its code as the reason, in the domain of Millrace', () => {
  for (const code of Object.keys(errorCodes) as ErrorCode[]) {
    const { status, errorInfo } = details(new MillraceError(code, 'why'))
    assert.equal(status.code, grpcStatusOf(code))
    assert.equal(status.message, 'why')
    assert.deepEqual([errorInfo?.reason, errorInfo?.domain], [code.toUpperCase(), 'millrace'])
  }
})

test('RetryInfo is set when a time is known, always for a refusal for room, and never for a too large message', () => {
  const retryOf = (error: MillraceError) => {
    const { retryInfo, pushback } = details(error)
    return [retryInfo?.retryDelay?.seconds, retryInfo?.retryDelay?.nanos, pushback]
  }
  assert.deepEqual(retryOf(new MillraceError('unavailable', '', { retryAfterMs: 1234.5 })), [1n, 234_500_000, '1235'])
  assert.deepEqual(retryOf(new MillraceError('disk_full', '')), [1n, 0, '1000'])
  assert.deepEqual(retryOf(new MillraceError('message_too_large', '')), [undefined, undefined, undefined])
  assert.deepEqual(retryOf(new MillraceError('draining', '')), [undefined, undefined, undefined])
})

test('an error for invalid input names its field', () => {
  const { badRequest } = details(new MillraceError('invalid_event', 'sequence is missing', { field: 'sequence' }))

  const [violation] = badRequest?.fieldViolations ?? []
  assert.deepEqual([violation?.field, violation?.description], ['sequence', 'sequence is missing'])
})

test('the details stay under 4 KiB: fields and rejections are left out, the reason and the counts are kept', () => {
  const taken = { accepted: 20, dropped: 1, rejected: 300 }
  const error = new MillraceError('invalid_event', '€'.repeat(5000), { retryAfterMs: 10, taken })
  const rejections = Array.from({ length: 300 }, (_, index) => ({ index: BigInt(index), id: 'i'.repeat(20) }))
  const violations = Array.from({ length: 20 }, (_, index) => ({
    field: `events[${index}].${'€'.repeat(300)}`,
    description: '€'.repeat(300),
  }))

  const short = details(error, [{ field: 'events[0].type', description: 'x' }], rejections)
  const long = details(error, violations, rejections)

  assert.ok(short.byteLength < 4096)
  assert.equal(short.badRequest?.fieldViolations.length, 1)
  assert.ok(long.byteLength < 4096, `${long.byteLength} bytes`)
  assert.equal(long.badRequest, undefined)
  for (const { summary } of [short, long]) {
    assert.deepEqual([summary?.accepted, summary?.dropped, summary?.rejected], [20n, 1n, 300n])
  }
  assert.deepEqual([short.summary?.rejections.length, long.summary?.rejections.length], [8, 0])
  assert.equal(long.errorInfo?.reason, 'INVALID_EVENT')
  assert.equal(long.pushback, '10')
  assert.equal(long.status.code, grpcStatus.INVALID_ARGUMENT)
})
