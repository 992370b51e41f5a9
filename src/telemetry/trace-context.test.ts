import assert from 'node:assert/strict'
import { test } from 'node:test'
import { traceFields } from './trace-context.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanId = 'b7ad6b7169203331'
const fields = { trace_id: traceId, span_id: spanId }

test('a traceparent is parsed, also one of a later version with more fields', () => {
  assert.deepEqual(traceFields(`00-${traceId}-${spanId}-01`), fields)
  assert.deepEqual(traceFields(`42-${traceId}-${spanId}-01-more`), fields)
})

test('a malformed traceparent is ignored', () => {
  for (const bad of [
    undefined,
    '',
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${traceId}-${spanId}`,
  ]) {
    assert.deepEqual(traceFields(bad), {}, bad)
  }
})
