import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Slots } from './slots.ts'

test('two run at once, the others in the order in which they came, also after one that fails', async () => {
  const slots = new Slots(2)
  const started: number[] = []
  const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
  const works = gates.map((gate, index) =>
    slots.run(async () => {
      started.push(index)
      await gate.promise
      return index
    }),
  )
  await new Promise(setImmediate)
  assert.deepEqual(started, [0, 1])

  gates[1]!.reject(new Error('no'))
  await assert.rejects(works[1]!, /no/)
  await new Promise(setImmediate)
  assert.deepEqual(started, [0, 1, 2])

  for (const gate of gates) gate.resolve()
  assert.deepEqual(await Promise.all([works[0], works[2], works[3]]), [0, 2, 3])
  assert.equal(await slots.run(async () => 'free'), 'free')
})

test('a work that waits starts after a turn of the event loop, so that works never follow each other without one', async () => {
  const slots = new Slots(1)
  const order: string[] = []
  setImmediate(() => order.push('turn'))
  const first = slots.run(async () => order.push('first'))
  await Promise.all([first, slots.run(async () => order.push('second'))])
  assert.deepEqual(order, ['first', 'turn', 'second'])
})
