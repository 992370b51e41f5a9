import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageError } from './command.ts'
import { momentOf } from './moment.ts'

test('a time is RFC 3339 or an age', () => {
  const nowMs = Date.UTC(2026, 0, 2)
  assert.equal(momentOf('--since', undefined, nowMs), undefined)
  assert.equal(momentOf('--since', '2026-01-01T00:00:00Z', nowMs), Date.UTC(2026, 0, 1) * 1000)
  for (const [text, seconds] of [
    ['90s', 90],
    ['10m', 600],
    ['2h', 7200],
    ['1d', 86_400],
  ] as const) {
    assert.equal(momentOf('--since', text, nowMs), (nowMs - seconds * 1000) * 1000)
  }
  for (const text of ['', 'yesterday', '10', '-5m', '5 m', '1w']) {
    assert.throws(() => momentOf('--since', text, nowMs), UsageError, text)
  }
})
