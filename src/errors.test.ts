import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, errorCodes, MillraceError } from './errors.ts'

test('backlogged and disk_full errors have no stack trace, so they retain no events; every other error has one', () => {
  assert.doesNotMatch(new MillraceError('backlogged', 'no room').stack ?? '', /\n/)
  assert.doesNotMatch(new MillraceError('disk_full', 'no room').stack ?? '', /\n/)
  assert.match(new MillraceError('internal', 'a defect').stack ?? '', /errors\.test\.ts/)
})

test('the outcome of a publish is unknown after unavailable, deadline_exceeded, cancelled and internal only', () => {
  const unknown = (Object.keys(errorCodes) as ErrorCode[]).filter((code) => new MillraceError(code, '').outcomeUnknown)
  assert.deepEqual(unknown, ['unavailable', 'deadline_exceeded', 'cancelled', 'internal'])
})
