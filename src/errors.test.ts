import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from './errors.ts'

test('backlogged and disk_full errors have no stack trace, so they retain no events; every other error has one', () => {
  assert.doesNotMatch(new MillraceError('backlogged', 'no room').stack ?? '', /\n/)
  assert.doesNotMatch(new MillraceError('disk_full', 'no room').stack ?? '', /\n/)
  assert.match(new MillraceError('internal', 'a defect').stack ?? '', /errors\.test\.ts/)
})
