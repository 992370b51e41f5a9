import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Health, type Readiness } from './health.ts'

test('a server is ready when every required component has reported that it is up', () => {
  const health = new Health(['log', 'api'])
  assert.equal(health.readiness().ready, false)
  health.setComponent('log', true)
  assert.equal(health.readiness().ready, false)
  health.setComponent('api', true)
  assert.equal(health.readiness().ready, true)
  health.setComponent('log', false, 'flush failed')
  assert.equal(health.readiness().ready, false)
})

test('an outage of a component that is not required is shown and leaves the server ready', () => {
  const health = new Health(['log'])
  health.setComponent('log', true)
  health.setComponent('store', false, 'locked')
  assert.deepEqual(health.readiness(), {
    ready: true,
    draining: false,
    components: [
      { name: 'log', up: true, detail: null, required: true },
      { name: 'store', up: false, detail: 'locked', required: false },
    ],
  })
})

test('a server that drains is not ready, whatever its components report', () => {
  const health = new Health(['log'])
  health.setComponent('log', true)
  health.startDraining()
  assert.equal(health.draining, true)
  assert.equal(health.readiness().ready, false)
  health.setComponent('log', false)
  health.setComponent('log', true)
  assert.equal(health.readiness().ready, false)
})

test('listeners are called once for every change, synchronously, and not without a change', () => {
  const health = new Health(['log'])
  const changes: Readiness[] = []
  const stop = health.onChange((readiness) => changes.push(readiness))
  health.setComponent('log', true)
  health.setComponent('log', true)
  health.startDraining()
  health.startDraining()
  assert.deepEqual(
    changes.map(({ ready, draining }) => [ready, draining]),
    [
      [true, false],
      [false, true],
    ],
  )
  stop()
  health.setComponent('log', false)
  assert.equal(changes.length, 2)
})
