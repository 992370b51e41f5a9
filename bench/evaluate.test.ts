import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Contest } from './contests.ts'
import { type BoundRow, evaluate, type RatioRow } from './evaluate.ts'
import type { BlockRun } from './run-block.ts'
import { estimate, median } from './statistics.ts'
import { formatTable } from './table.ts'

const contest: Contest = {
  id: 'W1',
  rounds: 4,
  blocks: [],
  comparisons: [{ id: 'T0', measure: 'product / floor', product: 'product', floor: 'floor', atLeast: 0.5 }],
  bounds: [{ id: 'T9', measure: 'growth', block: 'product', detail: 'growthMiB', below: 64, unit: 'MiB' }],
}

function run(name: string, round: number, events: number, change: Partial<BlockRun> = {}): BlockRun {
  const result = {
    events,
    seconds: 1,
    serviceCpuSeconds: 2,
    durability: 'disk',
    problems: [],
    details: { growthMiB: 9 },
  }
  return { name, round, result: { ...result, durability: 'disk' }, absent: null, stolen: 0, foreign: 0, ...change }
}

/** Four rounds with the ratios 0.6, 0.7, 0.8 and 0.9. */
const goodRuns = [1, 2, 3, 4].flatMap((round) => [run('floor', round, 100), run('product', round, 50 + 10 * round)])
const changed = (index: number, change: Partial<BlockRun>) =>
  goodRuns.map((run, at) => (at === index ? { ...run, ...change } : run))
const ratioRow = (runs: readonly BlockRun[]) => evaluate(contest, runs)[0] as RatioRow

test('a target is judged by the lower end of the interval, not by the median', () => {
  const row = ratioRow(goodRuns)
  assert.equal(row.verdict, 'reached')
  assert.equal(row.ratio?.median, 0.75)
  const strict = { ...contest, comparisons: [{ ...contest.comparisons[0]!, atLeast: 0.74 }] }
  assert.equal(evaluate(strict, goodRuns)[0]?.verdict, 'missed')
})

test('one run that failed or did not pass the gate makes the result invalid', () => {
  const problems = ['49 rows, expected 50']
  for (const runs of [changed(3, { result: null }), changed(3, { result: { ...goodRuns[3]!.result!, problems } })]) {
    const [ratio, bound] = evaluate(contest, runs)
    assert.deepEqual([ratio?.verdict, (ratio as RatioRow).ratio, (ratio as RatioRow).cpuRatio], ['invalid', null, null])
    assert.equal(bound?.verdict, 'invalid')
  }
})

test('a comparison with a peer that is not installed is absent, with the reason', () => {
  const absent = 'it is not installed'
  const row = ratioRow(goodRuns.map((run) => (run.name === 'floor' ? { ...run, result: null, absent } : run)))
  assert.deepEqual([row.verdict, row.ratio, row.absent], ['absent', null, absent])
  assert.match(formatTable([row]), /product \/ floor .* absent: it is not installed$/)
})

test('a disturbed round is discarded, and more than three in ten make the result noisy', () => {
  const once = ratioRow(changed(1, { stolen: 0.03 }))
  assert.deepEqual([once.verdict, once.disturbedRounds, once.ratio?.median], ['reached', 1, 0.8])
  const twice = changed(1, { stolen: 0.03 }).map((run, at) => (at === 2 ? { ...run, foreign: 0.2 } : run))
  assert.deepEqual([ratioRow(twice).verdict, ratioRow(twice).disturbedRounds], ['noisy', 2])
})

test('a bound is judged by the worst run', () => {
  assert.equal(evaluate(contest, goodRuns)[1]?.verdict, 'reached')
  const result = { ...goodRuns[7]!.result!, details: { growthMiB: 64 } }
  assert.equal(evaluate(contest, changed(7, { result }))[1]?.verdict, 'missed')
})

test('a bound on what a block has above another one subtracts round by round', () => {
  const above = { ...contest, bounds: [{ ...contest.bounds[0]!, above: 'floor' }] }
  const result = { ...goodRuns[4]!.result!, details: { growthMiB: 2 } }
  assert.equal((evaluate(above, changed(4, { result }))[1] as BoundRow).value, 7)
  assert.equal(evaluate(above, changed(4, { result: null }))[1]?.verdict, 'invalid')
})

test('the interval of a median lies inside the values and around the median', () => {
  const values = fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 1, maxLength: 15 })
  fc.assert(
    fc.property(values, (ratios) => {
      const { low, high, median: middle } = estimate(ratios)!
      assert.ok(Math.min(...ratios) <= low && low <= middle && middle <= high && high <= Math.max(...ratios))
      assert.equal(middle, median(ratios))
    }),
    { numRuns: 30 },
  )
})
