import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from './errors.ts'

test('a refusal for want of room keeps no stack, and so no events; every other error has one', () => {
  assert.doesNotMatch(new MillraceError('backlogged', 'no room').stack ?? '', /\n/)
  assert.doesNotMatch(new MillraceError('disk_full', 'no room').stack ?? '', /\n/)
  assert.match(new MillraceError('internal', 'a defect').stack ?? '', /errors\.test\.ts/)
})
