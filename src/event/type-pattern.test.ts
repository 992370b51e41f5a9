import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../errors.ts'
import { compileTypePatterns } from './type-pattern.ts'

test('* stands for one segment, ** for the rest, and anything else for itself', () => {
  const types = ['order', 'order.paid', 'order.paid.late', 'orders.paid', 'order.', 'a', 'Order.paid']
  const matching = (...patterns: string[]) => types.filter(compileTypePatterns(patterns))
  assert.deepEqual(matching(), types)
  assert.deepEqual(matching('**'), types)
  assert.deepEqual(matching('order.paid'), ['order.paid'])
  assert.deepEqual(matching('order.*'), ['order.paid', 'order.'])
  assert.deepEqual(matching('order.**'), ['order.paid', 'order.paid.late', 'order.'])
  assert.deepEqual(matching('*.paid', 'a'), ['order.paid', 'orders.paid', 'a', 'Order.paid'])
  assert.deepEqual(matching('*.*.*'), ['order.paid.late'])
})

test('a pattern that cannot be meant is refused by name', () => {
  for (const [pattern, why] of [
    ['', /has 0 bytes; it takes 1 to 255/],
    ['x'.repeat(256), /has 256 bytes/],
    ['order.pa*d', /"order.pa\*d" has \* beside other characters: it stands for a whole segment/],
    ['***', /beside other characters/],
    ['**.paid', /has \*\* before its end/],
  ] as const) {
    assert.throws(
      () => compileTypePatterns(['order.*', pattern]),
      (error) => error instanceof MillraceError && error.field === 'types' && why.test(error.message),
      pattern,
    )
  }
})

test('matching takes no longer for a type that nearly matches', () => {
  const match = compileTypePatterns([`${'*.'.repeat(100)}end`])
  assert.equal(match('a.'.repeat(100)), false)
  assert.equal(match(`${'a.'.repeat(100)}end`), true)
})
