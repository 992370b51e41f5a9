import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AttemptGate } from './attempt-gate.ts'

test('an attempt runs alone after the shares before it, and shares after it wait', async () => {
  const gate = new AttemptGate()
  const log: string[] = []
  const leave = await gate.enter(() => log.push('crowded'))
  gate.share()
  const first = gate.alone(async () => log.push('first'))
  const second = gate.alone(async () => log.push('second'))
  const entered = gate.enter(() => {}).then(() => log.push('entered'))
  gate.leave()
  await new Promise(setImmediate)
  assert.deepEqual(log, ['crowded', 'crowded'])
  leave()
  await Promise.all([first, second, entered])
  assert.deepEqual(log, ['crowded', 'crowded', 'first', 'second', 'entered'])
})

test('an attempt that fails alone lets the others go on', async () => {
  const gate = new AttemptGate()
  await assert.rejects(gate.alone(() => Promise.reject(new Error('no'))))
  await gate.enter(() => {})
})
