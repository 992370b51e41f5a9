import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BatchTrigger } from './batch-trigger.ts'

test('after an idle time a batch is flushed at once, whatever its size', () => {
  const trigger = new BatchTrigger(8000, 100)
  assert.equal(trigger.remainingMs(1, 0), 0)
  trigger.flushed(0)
  assert.equal(trigger.remainingMs(1, 100), 0)
})

test('under a steady flow a batch is flushed when it is full or its wait time is over', () => {
  const trigger = new BatchTrigger(8000, 100)
  trigger.flushed(1000)
  assert.equal(trigger.remainingMs(1, 1000), 100)
  assert.equal(trigger.remainingMs(7999, 1060), 40)
  assert.equal(trigger.remainingMs(8000, 1060), 0)
  assert.equal(trigger.remainingMs(1, 1100), 0)
})
