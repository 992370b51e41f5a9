import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RecentEntries } from './recent-entries.ts'

const bytes = (length: number) => new Uint8Array(length)

test('the oldest entries are dropped when there are too many bytes', () => {
  const recent = new RecentEntries(100)
  for (const appendNumber of [1, 2, 3]) recent.add(appendNumber, bytes(40), 1)
  assert.deepEqual([recent.bytes, recent.from], [80, 2])
  assert.equal(recent.take(1), undefined)
  assert.equal(recent.take(3)?.length, 40)
})

test('an entry is dropped when it was taken for every group that may take it', () => {
  const recent = new RecentEntries(100)
  recent.add(1, bytes(10), 2)
  recent.add(2, bytes(10), 0)
  assert.equal(recent.take(1)?.length, 10)
  assert.equal(recent.from, 1)
  assert.equal(recent.take(1)?.length, 10)
  assert.deepEqual([recent.bytes, recent.from, recent.take(1)], [0, 3, undefined])
})

test('there are never more bytes than the bound, and no kept entry is older than `from`', () => {
  const step = fc.record({ length: fc.integer({ min: 0, max: 60 }), takers: fc.nat(2), taken: fc.nat(40) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      const recent = new RecentEntries(200)
      const kept = new Map<number, number>()
      steps.forEach(({ length, takers, taken }, index) => {
        recent.add(index, bytes(length), takers)
        if (takers > 0) kept.set(index, takers)
        const appendNumber = index - taken
        if (recent.take(appendNumber) === undefined) kept.delete(appendNumber)
        else kept.set(appendNumber, kept.get(appendNumber)! - 1)
        if (kept.get(appendNumber) === 0) kept.delete(appendNumber)
        assert.ok(recent.bytes <= 200)
        assert.ok(kept.size === 0 || recent.from <= index + 1)
        for (const other of kept.keys()) if (other < recent.from) kept.delete(other)
        assert.ok([...kept.keys()].every((other) => other >= recent.from))
      })
    }),
    { numRuns: 30 },
  )
})
