import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requestIdOf } from './request-context.ts'

test('a plain request id is kept, any other is replaced', () => {
  assert.equal(requestIdOf('order-7/a.b_c:1'), 'order-7/a.b_c:1')
  for (const unsafe of [undefined, '', 'a b', 'a\nb', 'é', 'x'.repeat(129), '<script>']) {
    assert.match(requestIdOf(unsafe), /^[0-9a-f-]{36}$/)
  }
})
