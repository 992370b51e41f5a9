import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../errors.ts'
import { CallCounts, countsOf, rejectionsOf } from './call-counts.ts'

test('a failed message is counted only when an event behind it was accepted or dropped', () => {
  const counts = new CallCounts()
  const draining = new MillraceError('draining', 'the server is stopping')
  const accept = () => counts.add({ accepted: 1, dropped: 0, rejected: 0, rejections: [] }, false)
  const fail = (index: number) =>
    counts.add(
      { accepted: 0, dropped: 0, rejected: 1, rejections: rejectionsOf(draining, [{ index, count: 1 }]) },
      true,
    )
  const refuse = (index: number) => {
    const rejections = [{ index, id: '', code: 'invalid_event', message: 'type is missing' } as const]
    counts.add(countsOf({ accepted: 0, dropped: 0, rejections, durability: 'disk' }), false)
  }
  const listed = () => counts.rejections.map(({ index }) => index)

  accept()
  refuse(1)
  fail(2)
  refuse(3)
  assert.deepEqual([counts.taken, listed()], [{ accepted: 1, dropped: 0, rejected: 1 }, [1]])
  accept()
  refuse(5)
  fail(6)
  assert.deepEqual([counts.taken, listed()], [{ accepted: 2, dropped: 0, rejected: 4 }, [1, 2, 3, 5]])
})
