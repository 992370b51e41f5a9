import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGrant, everything, narrow } from './grant.ts'

const parts = { keyId: 'a', name: 'shop', topics: null, types: null, ratePerSecond: null, expiresAtMs: null }

test('a grant allows its scopes, and what its patterns match', () => {
  const grant = createGrant({ ...parts, scopes: ['publish'], topics: ['orders', 'eu.*'], types: ['order.**'] })

  assert.deepEqual([grant.allows('publish'), grant.allows('admin')], [true, false])
  assert.deepEqual(['orders', 'eu.orders', 'orders.eu', 'eu', 'eu.orders.old'].map(grant.allowsTopic), [
    ...[true, true, false, false, false],
  ])
  assert.deepEqual(['order.paid', 'order', 'user.added'].map(grant.allowsType), [true, false, false])
  assert.ok(everything.allows('admin') && everything.allowsTopic('_dead') && everything.allowsType(''))
})

test('a narrowed grant allows what both allow', () => {
  const grant = createGrant({ ...parts, scopes: ['publish', 'read'], topics: ['eu.*'], types: null })
  const narrower = narrow(grant, { scopes: ['read', 'admin'], topics: ['**'], types: ['order.*'] })

  assert.deepEqual(narrower.scopes, ['read'])
  assert.deepEqual(
    ['read', 'publish', 'admin'].map((scope) => narrower.allows(scope as 'read')),
    [true, false, false],
  )
  assert.deepEqual(['eu.orders', 'us.orders'].map(narrower.allowsTopic), [true, false])
  assert.deepEqual(['order.paid', 'user.added'].map(narrower.allowsType), [true, false])
  assert.deepEqual(['order.paid', 'user.added'].map(grant.allowsType), [true, true])
})

test('a bad pattern is refused by the name of its field', () => {
  const refused = (topics: string[]) => () => createGrant({ ...parts, scopes: ['read'], topics })
  assert.throws(refused(['a*']), { code: 'invalid_event', field: 'topics', message: /^topics: the pattern "a\*" has/ })
  assert.throws(refused([]), { code: 'invalid_event', field: 'topics', message: /1 to 64/ })
  assert.throws(refused(Array(65).fill('a')), { code: 'invalid_event', field: 'topics', message: /1 to 64/ })
})
