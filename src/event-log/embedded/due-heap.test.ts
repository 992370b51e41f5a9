import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DueHeap } from './due-heap.ts'

test('entries are popped by due time, and by offset where the times are equal', () => {
  const entry = fc.record({ dueAtMs: fc.nat(20), count: fc.integer({ min: 1, max: 9 }) })
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 200 }), (drawn) => {
      const entries = drawn.map((one, offset) => ({ ...one, offset }))
      const heap = new DueHeap()
      for (const one of entries) heap.push(one)
      const sorted = [...entries].sort((a, b) => a.dueAtMs - b.dueAtMs || a.offset - b.offset)
      for (const one of sorted) {
        assert.equal(heap.nextDueAtMs, one.dueAtMs)
        assert.deepEqual(heap.pop(), one)
      }
      assert.equal(heap.size, 0)
      assert.equal(heap.nextDueAtMs, undefined)
    }),
  )
})

test('an entry that is pushed back is popped in its order', () => {
  const heap = new DueHeap()
  heap.push({ dueAtMs: 5, offset: 1, count: 1 })
  heap.push({ dueAtMs: 3, offset: 2, count: 1 })
  const first = heap.pop()
  heap.push({ dueAtMs: 4, offset: 3, count: 1 })
  heap.push(first)
  assert.deepEqual([heap.pop().offset, heap.pop().offset, heap.pop().offset], [2, 3, 1])
})
