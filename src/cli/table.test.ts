import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatBar } from './progress-bar.ts'
import { formatCount, formatCountOf, formatTable } from './table.ts'

const plain = { paint: (_style: unknown, text: string) => text }

test('columns are as wide as their content and numbers are right-aligned', () => {
  const rows = [
    ['events', '7', 'yes'],
    ['a', '1,234', '\x1b[31mNO\x1b[39m'],
    ['b', 'unknown', ''],
  ]
  assert.deepEqual(formatTable(['TOPIC', 'WAITING', 'OK'], rows, plain).split('\n'), [
    'TOPIC   WAITING  OK',
    'events        7  yes',
    'a         1,234  \x1b[31mNO\x1b[39m',
    'b       unknown',
  ])
  assert.equal(formatTable(['TOPIC', 'WAITING'], [], plain), 'TOPIC  WAITING')
})

test('counts have thousands separators, and an unknown count is never 0', () => {
  assert.deepEqual([0, 999, 1000, 1234567, null].map(formatCount), ['0', '999', '1,000', '1,234,567', 'unknown'])
})

test('a count of one has a singular noun', () => {
  const texts = [0, 1, 2000, null].map((count) => formatCountOf(count, 'dead letter'))
  assert.deepEqual(texts, ['0 dead letters', '1 dead letter', '2,000 dead letters', 'unknown dead letters'])
  assert.deepEqual(
    [1, 2].map((count) => formatCountOf(count, 'entry', 'entries')),
    ['1 entry', '2 entries'],
  )
})

test('a progress bar always has the same length', () => {
  for (const share of [-1, 0, 0.5, 1, 2]) assert.equal(formatBar(share).length, 26)
  assert.equal(formatBar(0.5), `[${'#'.repeat(12)}${'-'.repeat(12)}]`)
})
