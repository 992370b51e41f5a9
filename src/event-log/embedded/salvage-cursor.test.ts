import assert from 'node:assert/strict'
import { test } from 'node:test'
import { salvageCursor } from './salvage-cursor.ts'

const key = { groupNumber: 1, stream: 2 }
const cursor = { ...key, startOffset: 0, settledBelow: 100, handedOutBelow: 300, rangesAhead: 0, attemptsKept: 0 }
const entry = (firstOffset: number, count: number) => ({ firstOffset, count, byteLength: count * 10 })
const settled = (firstOffset: number, endOffset: number) => ({ ...key, firstOffset, endOffset })
const tried = (firstOffset: number) => ({ ...key, firstOffset, attempt: 3 })

test('unsettled entries that exist are waiting, and missing ones are lost', () => {
  const entries = [entry(0, 100), entry(120, 30), entry(150, 50), entry(250, 50)]
  const salvaged = salvageCursor(
    { row: cursor, ranges: [settled(150, 200)], attempts: [tried(120), tried(220)] },
    entries,
    400,
  )
  assert.equal(salvaged.waitingEvents, 80)
  assert.equal(salvaged.waitingBytes, 800)
  assert.equal(salvaged.lost, 20 + 50 + 100)
  assert.deepEqual(salvaged.row, { ...cursor, settledBelow: 120, rangesAhead: 2, attemptsKept: 1 })
  assert.deepEqual(salvaged.ranges, [settled(150, 250), settled(300, 400)])
  assert.deepEqual(salvaged.attempts, [tried(120)])
})

test('when no entry is missing, nothing changes', () => {
  const ranges = [settled(150, 200)]
  const entries = [entry(0, 100), entry(100, 50), entry(150, 50), entry(200, 100)]
  const salvaged = salvageCursor({ row: { ...cursor, rangesAhead: 1 }, ranges, attempts: [] }, entries, 300)
  assert.deepEqual([salvaged.row, salvaged.ranges, salvaged.lost], [{ ...cursor, rangesAhead: 1 }, ranges, 0])
})

test('when no entry is left, everything unsettled is lost and the cursor is at the end', () => {
  const salvaged = salvageCursor({ row: cursor, ranges: [settled(150, 200)], attempts: [] }, [], 400)
  assert.equal(salvaged.lost, 250)
  assert.equal(salvaged.row.settledBelow, 400)
  assert.equal(salvaged.row.rangesAhead, 0)
})
