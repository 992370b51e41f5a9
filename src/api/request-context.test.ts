import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requestIdOf, traceContextOf } from './request-context.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanId = 'b7ad6b7169203331'

test('a plain request id is kept, any other is replaced', () => {
  assert.equal(requestIdOf('order-7/a.b_c:1'), 'order-7/a.b_c:1')
  for (const unsafe of [undefined, '', 'a b', 'a\nb', 'é', 'x'.repeat(129), '<script>']) {
    assert.match(requestIdOf(unsafe), /^[0-9a-f-]{36}$/)
  }
})

test('a traceparent is parsed, also one of a later version with more fields', () => {
  assert.deepEqual(traceContextOf(`00-${traceId}-${spanId}-01`), { traceId, spanId })
  assert.deepEqual(traceContextOf(`42-${traceId}-${spanId}-01-more`), { traceId, spanId })
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
    assert.equal(traceContextOf(bad), null, bad)
  }
})
