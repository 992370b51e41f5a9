import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { producerWindow } from '../../event-log.ts'
import { ProducerWindow } from './producer-window.ts'

test('a window knows exactly which of the latest sequences were added', () => {
  const jump = fc.oneof(fc.integer({ min: -1100, max: 1100 }), fc.integer({ min: -3, max: 3 }))
  fc.assert(
    fc.property(fc.array(jump, { maxLength: 80 }), fc.boolean(), (jumps, isStored) => {
      let window = new ProducerWindow()
      const given = new Set<number>()
      let last = 0
      for (const by of jumps) {
        const sequence = Math.max(1, last + by)
        if (sequence <= last - producerWindow) continue
        window.add(sequence)
        given.add(sequence)
        last = Math.max(last, sequence)
        if (isStored) window = new ProducerWindow(window.last, window.toBytes())
      }
      assert.equal(window.last, last)
      for (let sequence = Math.max(1, last - producerWindow + 1); sequence <= last + 3; sequence++) {
        assert.equal(window.has(sequence), given.has(sequence), `sequence ${sequence}`)
      }
      assert.equal(window.has(last - producerWindow), false)
    }),
  )
})
