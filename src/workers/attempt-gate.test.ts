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

test('what runs alone in an inner gate runs beside the others of the outer one, and not beside what is alone there', async () => {
  const outer = new AttemptGate()
  const [inner, other] = [new AttemptGate(outer), new AttemptGate(outer)]
  const log: string[] = []
  const leave = await other.enter(() => {})
  const free = Promise.withResolvers<void>()
  const own = inner.alone(async () => {
    log.push('inner alone')
    await free.promise
  })
  await new Promise(setImmediate)
  assert.equal(inner.isCrowded, false)
  const all = outer.alone(async () => log.push('outer alone'))
  assert.equal(inner.isCrowded, true)
  leave()
  await new Promise(setImmediate)
  assert.deepEqual(log, ['inner alone'])
  free.resolve()
  await Promise.all([own, all])
  assert.deepEqual(log, ['inner alone', 'outer alone'])
})

test('an attempt that fails alone lets the others go on', async () => {
  const gate = new AttemptGate()
  await assert.rejects(gate.alone(() => Promise.reject(new Error('no'))))
  await gate.enter(() => {})
})
