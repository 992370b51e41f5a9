import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LaneTurns } from './lane-turns.ts'

test('of 21 places high gets 16, normal 4 and low 1, however few are shared at once', () => {
  for (const places of [1, 2, 3, 7, 21, 42]) {
    const turns = new LaneTurns()
    const sum = { high: 0, normal: 0, low: 0 }
    for (let taken = 0; taken < 42; taken += places) {
      const share = turns.share(places)
      for (const lane of ['high', 'normal', 'low'] as const) sum[lane] += share[lane]
    }
    assert.deepEqual(sum, { high: 32, normal: 8, low: 2 }, `${places} at once`)
  }
})

test('the turns of a lane are spread evenly', () => {
  const turns = new LaneTurns({ high: 2, normal: 1, low: 1 })
  const order = Array.from({ length: 8 }, () => {
    const share = turns.share(1)
    return share.high === 1 ? 'h' : share.normal === 1 ? 'n' : 'l'
  })
  assert.deepEqual(order.join(''), 'hnlhhnlh')
})

test('a lane that had no work is asked for one event, and the others share the rest', () => {
  const turns = new LaneTurns()
  const hadWork = new Set(['normal' as const])
  turns.note(turns.share(42), hadWork)
  assert.deepEqual(turns.share(1000), { high: 1, normal: 998, low: 1 })
  // With two places, looks at both idle lanes would leave nothing for the lane that has work.
  assert.deepEqual(turns.share(2), { high: 2, normal: 0, low: 0 })
  turns.note({ high: 1, normal: 0, low: 0 }, new Set(['high']))
  const { high, normal, low } = turns.share(21)
  assert.deepEqual([high, normal, low], [16, 4, 1])
  turns.note({ high: 1, normal: 1, low: 1 }, new Set())
  assert.deepEqual(turns.share(21), { high: 16, normal: 4, low: 1 }, 'when no lane has work, all are asked')
})
