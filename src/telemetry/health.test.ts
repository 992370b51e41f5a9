import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Health, type Readiness } from './health.ts'

test('a server is ready when every required part has said that it is up', () => {
  const health = new Health(['log', 'api'])
  assert.equal(health.readiness().ready, false)
  health.setComponent('log', true)
  assert.equal(health.readiness().ready, false)
  health.setComponent('api', true)
  assert.equal(health.readiness().ready, true)
  health.setComponent('log', false, 'flush failed')
  assert.equal(health.readiness().ready, false)
})

test('an outage of a part that is not required is shown and leaves the server ready', () => {
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

test('a server that drains is not ready, whatever its parts say', () => {
  const health = new Health(['log'])
  health.setComponent('log', true)
  health.startDraining()
  assert.equal(health.draining, true)
  assert.equal(health.readiness().ready, false)
  health.setComponent('log', false)
  health.setComponent('log', true)
  assert.equal(health.readiness().ready, false)
})

test('listeners hear every change once, at once, and nothing that is no change', () => {
  const health = new Health(['log'])
  const heard: Readiness[] = []
  const stop = health.onChange((readiness) => heard.push(readiness))
  health.setComponent('log', true)
  health.setComponent('log', true)
  health.startDraining()
  health.startDraining()
  assert.deepEqual(
    heard.map(({ ready, draining }) => [ready, draining]),
    [
      [true, false],
      [false, true],
    ],
  )
  stop()
  health.setComponent('log', false)
  assert.equal(heard.length, 2)
})
