import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SendWindow } from './send-window.ts'

test('each message is written in order, and again after a cut, until it is acknowledged', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('push' as const), count: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant('write' as const) }),
    fc.record({ do: fc.constant('cut' as const) }),
    fc.record({ do: fc.constant('acknowledge' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const window = new SendWindow()
      const counts: number[] = []
      let written = 0
      let everWritten = 0
      let acked = 0
      for (const action of steps) {
        if (action.do === 'push') {
          counts.push(action.count)
          window.push({ sequence: counts.length, bytes: Buffer.alloc(action.count), count: action.count })
        } else if (action.do === 'write') {
          const message = window.nextToWrite()
          assert.equal(message?.sequence, written < counts.length ? written + 1 : undefined)
          written = message?.sequence ?? written
          everWritten = Math.max(everWritten, written)
        } else if (action.do === 'cut') {
          window.rewind()
          written = acked
        } else {
          const through = acked + Math.floor(action.part * (written - acked))
          assert.equal(window.acknowledge(through), sum(counts.slice(acked, through)))
          acked = through
        }
        assert.equal(window.ackedThrough, acked)
        assert.equal(window.lastSequence, counts.length)
        assert.equal(window.writtenCount, written - acked)
        assert.equal(window.messageCount, counts.length - acked)
        assert.equal(window.byteLength, sum(counts.slice(acked)))
        assert.equal(window.unknownEvents, sum(counts.slice(acked, everWritten)))
        assert.equal(window.unsentEvents, sum(counts.slice(Math.max(acked, everWritten))))
        assert.equal(window.hasUnwritten, written < counts.length)
      }
    }),
  )
})

test('acknowledging an unwritten message is an error; an old acknowledgement has no effect', () => {
  const window = new SendWindow()
  window.push({ sequence: 1, bytes: Buffer.alloc(1), count: 1 })
  window.push({ sequence: 2, bytes: Buffer.alloc(1), count: 1 })
  window.nextToWrite()

  assert.throws(() => window.acknowledge(2), /the server acknowledged sequence 2, which was not sent/)
  assert.equal(window.acknowledge(1), 1)
  assert.equal(window.acknowledge(1), 0)
  assert.equal(window.acknowledge(0), 0)
  assert.throws(() => window.push({ sequence: 4, bytes: Buffer.alloc(1), count: 1 }), /numbered consecutively/)
})

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
