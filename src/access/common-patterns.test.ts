import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileTypePatterns } from '../event/type-pattern.ts'
import { commonPatterns, typesWithin } from './common-patterns.ts'
import { createGrant } from './grant.ts'

const segment = fc.constantFrom('a', 'b', '*')
const pattern = fc
  .tuple(fc.array(segment, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([segments, isOpen]) => [...segments.slice(isOpen ? 1 : 0), ...(isOpen ? ['**'] : [])].join('.'))
const name = fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 4 }).map((segments) => segments.join('.'))

test('the common patterns match what both lists match, and nothing else', () => {
  const patterns = fc.array(pattern, { minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(patterns, patterns, fc.array(name, { minLength: 20 }), (one, other, names) => {
      const common = commonPatterns(one, other)!
      const matches = common.length === 0 ? () => false : compileTypePatterns(common)
      for (const each of names) {
        assert.equal(matches(each), compileTypePatterns(one)(each) && compileTypePatterns(other)(each), each)
      }
    }),
  )
  assert.deepEqual(
    [commonPatterns(null, ['a']), commonPatterns(['a'], null), commonPatterns(null, null)],
    [['a'], ['a'], null],
  )
})

test('the types that are asked for are narrowed to those of the key', () => {
  const parts = { keyId: 'a', name: 'shop', scopes: [], topics: null, ratePerSecond: null, expiresAtMs: null }
  const grant = createGrant({ ...parts, types: ['order.*', 'user.added'] })
  assert.deepEqual(typesWithin(grant, [], 10), ['order.*', 'user.added'])
  assert.deepEqual(typesWithin(grant, ['order.paid', 'other', 'user.**'], 10), ['order.paid', 'user.added'])
  assert.throws(() => typesWithin(grant, ['other'], 10), { code: 'permission_denied', field: 'types' })
  assert.throws(() => typesWithin(grant, ['order.a', 'order.b'], 1), { code: 'invalid_event', field: 'types' })
  assert.deepEqual(typesWithin(createGrant({ ...parts, types: null }), ['a'], 10), ['a'])
})
