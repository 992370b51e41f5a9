import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeTrace, traceOfBatch, withTrace } from './batch-trace.ts'
import { cutBatch } from './cut-batch.ts'
import { decodeBatch, encodeBatch } from './record-batch.ts'
import { traceContextOf } from './trace-context.ts'

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const events = encodeBatch(['a', 'b', 'c'].map((type) => ({ type })))

test('the trace of a batch is read back, also from each of its parts, whose events are all there', () => {
  for (const tracestate of ['', `vendor=${'x'.repeat(300)}`]) {
    const trace = { traceparent, tracestate }
    const bytes = withTrace(encodeTrace(trace), events)
    assert.deepEqual(traceOfBatch(bytes), trace)

    const parts = cutBatch({ bytes, count: 3, receivedAtMicros: 7 }, 2)
    assert.deepEqual(
      parts.map((part) => [part.count, decodeBatch(part.bytes).map(({ type }) => type), traceOfBatch(part.bytes)]),
      [
        [2, ['a', 'b'], trace],
        [1, ['c'], trace],
      ],
    )
  }
})

test('a batch without a trace has none, and costs no copy', () => {
  assert.equal(traceOfBatch(events), undefined)
  assert.equal(withTrace(new Uint8Array(0), events), events)
})

test('a context is taken whole or not at all, without a tracestate over the limits', () => {
  const member = 'a=1'
  assert.deepEqual(traceContextOf(traceparent, member), { traceparent, tracestate: member })
  for (const tracestate of [undefined, 'ä=1', 'x'.repeat(513), Array(33).fill(member).join()]) {
    assert.deepEqual(traceContextOf(traceparent, tracestate), { traceparent, tracestate: '' })
  }
  for (const malformed of [undefined, '00-x', `42-${traceparent.slice(3)}-${'0'.repeat(300)}`]) {
    assert.equal(traceContextOf(malformed, member), undefined)
  }
})
