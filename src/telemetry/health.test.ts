import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Health, type Readiness } from './health.ts'

const broken = { reason: 'unavailable', message: 'the flush failed' }

test('a process is ready when every required component has reported that it works', () => {
  const health = new Health(['log', 'api'])
  assert.equal(health.readiness().state, 'unready')
  health.report('log', null)
  assert.equal(health.readiness().state, 'unready')
  health.report('api', null)
  assert.equal(health.readiness().state, 'ready')
  health.report('log', broken, true)
  assert.equal(health.readiness().state, 'unready')
})

test('a degraded component is shown with its cause and leaves the process ready to work', () => {
  const health = new Health(['log'])
  health.report('log', null)
  health.report('store', broken)
  assert.deepEqual(health.readiness(), {
    state: 'degraded',
    draining: false,
    components: [
      { name: 'log', state: 'up', problem: null },
      { name: 'store', state: 'degraded', problem: broken },
    ],
    causes: [{ component: 'store', ...broken }],
  })
  health.report('store', null)
  assert.deepEqual([health.readiness().state, health.readiness().causes], ['ready', []])
})

test('a process that drains is not ready, whatever its components report', () => {
  const health = new Health(['log'])
  health.report('log', null)
  health.startDraining()
  assert.equal(health.draining, true)
  assert.equal(health.readiness().state, 'unready')
  health.report('log', broken)
  health.report('log', null)
  assert.equal(health.readiness().state, 'unready')
})

test('listeners are called once for every change, synchronously, and not without a change', () => {
  const health = new Health(['log'])
  const changes: Readiness[] = []
  const stop = health.onChange((readiness) => changes.push(readiness))
  health.report('log', null)
  health.report('log', null)
  health.report('log', broken)
  health.report('log', { ...broken })
  health.report('log', { ...broken, message: 'the disk is gone' })
  health.startDraining()
  health.startDraining()
  assert.deepEqual(
    changes.map(({ state, draining }) => [state, draining]),
    [
      ['ready', false],
      ['degraded', false],
      ['degraded', false],
      ['unready', true],
    ],
  )
  stop()
  health.report('log', null)
  assert.equal(changes.length, 4)
})
