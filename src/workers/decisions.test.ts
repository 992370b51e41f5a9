import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MillraceError } from '../errors.ts'
import { type Lane, lanes } from '../event/event.ts'
import { splitTurn } from './lane-shares.ts'
import { alarmProbeMs, decideRetry, outageBackoff } from './retry-policy.ts'

test('outages and overload are retried forever, after a random time that grows to 5 s', () => {
  const unreachable = new MillraceError('unavailable', 'unreachable')
  assert.deepEqual(decideRetry(unreachable, 1, 0.5), { kind: 'backoff', retryInMs: 50 })
  assert.deepEqual(decideRetry(unreachable, 4, 0.5), { kind: 'backoff', retryInMs: 400 })
  assert.deepEqual(decideRetry(new MillraceError('disk_full', 'full'), 1, 0.5), { kind: 'backoff', retryInMs: 50 })
  for (const failures of [20, 1000, 1e9]) {
    const { kind, retryInMs } = decideRetry(unreachable, failures, 0.999999)
    assert.equal(kind, 'backoff')
    assert.equal(retryInMs, outageBackoff.maxMs)
  }
})

test('a bug, and a data error thrown by a handler, raise an alarm and are retried every 10 s', () => {
  for (const code of ['internal', 'unimplemented', 'failed_precondition', 'corrupt'] as const) {
    assert.deepEqual(decideRetry(new MillraceError(code, 'no'), 1, 0), { kind: 'alarm', retryInMs: alarmProbeMs })
  }
})

test('a single busy lane gets the whole turn; of three busy lanes the urgent ones get most, and none is starved', () => {
  assert.equal(splitTurn(8000, new Set<Lane>(['normal'])).normal, 8000)
  assert.equal(splitTurn(8000, new Set<Lane>(['low'])).low, 8000)
  assert.deepEqual(splitTurn(8000, new Set(lanes)), { high: 6800, normal: 800, low: 400 })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100_000 }), fc.subarray([...lanes]), (maxEvents, busy) => {
      const shares = splitTurn(maxEvents, new Set(busy))
      for (const lane of lanes) assert.ok(shares[lane] >= 1 && shares[lane] <= maxEvents)
      const offered = busy.reduce((sum, lane) => sum + shares[lane], 0)
      assert.ok(offered <= maxEvents + busy.length)
    }),
  )
})
