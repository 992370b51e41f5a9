import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { encodeBatch } from '../event/record-batch.ts'
import { ProduceResponseSchema } from '../gen/millrace/v1/ingest_pb.ts'
import { answerOf, PublishTally } from './publish-tally.ts'

const message = encodeBatch(['a', 'b', 'c'].map((id) => ({ id, type: 't' })))
const response = (init: MessageInitShape<typeof ProduceResponseSchema>) =>
  answerOf(create(ProduceResponseSchema, init), (sequence) => (sequence === 1 ? message : undefined))
const rejection = (sequence: bigint, index: bigint) => ({ sequence, index, code: 'backlogged', message: 'full' })

test('rejections sent before their acknowledgement count with it, and are discarded when the call is cut before', () => {
  const tally = new PublishTally()

  assert.deepEqual(tally.add(0, response({ rejections: [rejection(1n, 0n)], dropped: 2n })), [])
  tally.forgetEarly()
  assert.deepEqual(tally.add(0, response({ rejections: [rejection(1n, 0n), rejection(1n, 1n)], dropped: 3n })), [])
  assert.equal(tally.totals(0, 0).rejected, 0)
  const told = tally.add(10, response({ ackedThrough: 1n, rejections: [rejection(1n, 2n)], durability: 3 }))

  assert.deepEqual(
    told.map(({ index }) => index),
    [0, 1, 2],
  )
  const { accepted, dropped, rejected, durability } = tally.totals(0, 0)
  assert.deepEqual(
    { accepted, dropped, rejected, durability },
    { accepted: 4, dropped: 3, rejected: 3, durability: 'disk' },
  )
})

test('a run of rejections counts each of its events, with the ids that the producer sent', () => {
  const tally = new PublishTally()
  const run = { ...rejection(1n, 1n), count: 2 }
  const alone = rejection(1n, 0n)
  const ofUnheld = { ...rejection(2n, 5n), count: 2 }

  const told = tally.add(9, response({ ackedThrough: 2n, rejections: [run, alone, ofUnheld] }))

  assert.deepEqual(
    told.map(({ sequence, index, id }) => [sequence, index, id]),
    [
      [1, 0, 'a'],
      [1, 1, 'b'],
      [1, 2, 'c'],
      [2, 5, ''],
      [2, 6, ''],
    ],
  )
  assert.deepEqual([tally.totals(0, 0).accepted, tally.totals(0, 0).rejected], [4, 5])
})

test('all rejections are counted and the first 1,000 kept', () => {
  const tally = new PublishTally()
  for (let message = 1n; message <= 3n; message++) {
    const rejections = Array.from({ length: 600 }, (_, index) => rejection(message, BigInt(index)))
    assert.equal(tally.add(700, response({ ackedThrough: message, rejections })).length, 600)
  }
  const totals = tally.totals(7, 8)
  assert.deepEqual([totals.accepted, totals.rejected, totals.rejections.length], [300, 1800, 1000])
  assert.deepEqual([totals.unknown, totals.unsent], [7, 8])
  assert.equal(totals.rejections[999]?.sequence, 2)
})
