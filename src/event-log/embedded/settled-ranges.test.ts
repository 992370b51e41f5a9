import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type OffsetRange, SettledRanges } from './settled-ranges.ts'

/** The expected ranges of a set of offsets. */
function rangesOf(offsets: ReadonlySet<number>): { start: number; end: number }[] {
  const ranges: { start: number; end: number }[] = []
  for (const offset of [...offsets].sort((a, b) => a - b)) {
    const last = ranges[ranges.length - 1]
    if (last?.end === offset) last.end = offset + 1
    else ranges.push({ start: offset, end: offset + 1 })
  }
  return ranges
}

const byStart = (a: { start: number }, b: { start: number }) => a.start - b.start

test('adjacent ranges are merged, in whatever order they are settled', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(Array.from({ length: 40 }, (_, index) => index)), (offsets) => {
      const ranges = new SettledRanges()
      const settled = new Set<number>()
      for (const offset of offsets) {
        settled.add(offset)
        const grown = ranges.add(offset, offset + 1)
        assert.ok(grown.start <= offset && offset < grown.end)
      }
      const all = ranges.all().sort(byStart)
      assert.deepEqual(all, rangesOf(settled))
      assert.equal(ranges.size, all.length)
      for (const { start, end } of all) assert.equal(ranges.endOf(start), end)
      for (let offset = 0; offset < 40; offset++) {
        const next: OffsetRange | undefined = all.find(({ end }) => end > offset)
        assert.deepEqual(ranges.firstEndingAfter(offset), next)
      }
    }),
  )
})

test('applying the changes since the last call brings the stored rows to the state of the ranges', () => {
  const step = fc.oneof(fc.constant('take' as const), fc.constant('remove' as const), fc.nat(30))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ranges = new SettledRanges()
      const rows = new Map<number, number>()
      const taken = new Set<number>()
      const take = () => {
        const { saved, removed } = ranges.takeChanges()
        for (const start of removed) rows.delete(start)
        for (const { start, end } of saved) rows.set(start, end)
      }
      for (const one of steps) {
        if (one === 'take') take()
        else if (one === 'remove') {
          const [first] = ranges.all().sort(byStart)
          if (first !== undefined) ranges.remove(first)
        } else if (!taken.has(one)) {
          taken.add(one)
          ranges.add(one, one + 1)
        }
      }
      take()
      assert.deepEqual(Array.from(rows, ([start, end]) => ({ start, end })).sort(byStart), ranges.all().sort(byStart))
    }),
  )
})

test('firstStartAfter returns the nearest range after an offset', () => {
  const ranges = new SettledRanges()
  ranges.add(30, 40)
  ranges.add(10, 12)
  assert.equal(ranges.firstStartAfter(5), 10)
  assert.equal(ranges.firstStartAfter(10), 30)
  assert.equal(ranges.firstStartAfter(30), undefined)
})
