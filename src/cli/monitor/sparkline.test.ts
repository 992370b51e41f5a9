import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shareBar, sparkline } from './sparkline.ts'

test('a sparkline is scaled to its highest value, with the newest at the right', () => {
  assert.equal(sparkline([0, 50, 100], 3), '▁▅█')
  assert.equal(sparkline([1, 2, 100, 100], 2), '██')
  assert.equal(sparkline([7], 4), '   █')
})

test('0 is the lowest bar, and an unknown value a gap', () => {
  assert.equal(sparkline([0, 0], 2), '▁▁')
  assert.equal(sparkline([null, 4, null, 0], 4), ' █ ▁')
  assert.equal(sparkline([], 3), '   ')
  assert.equal(sparkline([1], 0), '')
  assert.equal(sparkline([1], -5), '')
})

test('a share above 0 has at least one block, and never more than the width', () => {
  assert.deepEqual(
    [0, 0.001, 0.5, 1, 2].map((share) => shareBar(share, 10)),
    ['', '█', '█████', '██████████', '██████████'],
  )
})
