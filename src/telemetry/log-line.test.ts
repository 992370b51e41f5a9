import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { maxFieldBytes, safeLine } from './log-line.ts'

test('a line of JSON stays one line with the same JSON value', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' }), (value) => {
      fc.pre(!JSON.stringify(value).includes('://'))
      const line = safeLine(`${JSON.stringify({ value })}\n`)
      assert.match(line, /^[^\n]*\n$/)
      assert.deepEqual(JSON.parse(line), JSON.parse(JSON.stringify({ value })))
    }),
    { numRuns: 500 },
  )
})

test('control characters are escaped in any text', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '\x1b', '\x9b', '\x7f', '\x85', '\u2028', '\r', '\n', '\0') })
  fc.assert(
    fc.property(text, (message) => {
      const line = safeLine(`${JSON.stringify({ message })}\n`)
      assert.doesNotMatch(line.slice(0, -1), /[\p{Cc}\u2028\u2029]/u)
      assert.equal(JSON.parse(line).message, message)
    }),
  )
})

test('a text of more than 8 KB is cut between two characters and ends with the number of characters left out', () => {
  for (const character of ['a', 'é', '€', '😀']) {
    const message = character.repeat(maxFieldBytes + 1)
    const cut = JSON.parse(safeLine(`${JSON.stringify({ deep: [{ message }], short: character })}\n`))
    const shown: string = cut.deep[0].message
    const kept = shown.slice(0, shown.indexOf(' … ('))
    assert.ok(message.startsWith(kept))
    assert.ok(Buffer.byteLength(kept) <= maxFieldBytes && Buffer.byteLength(kept) > maxFieldBytes - 4)
    assert.ok(shown.endsWith(`(${message.length - kept.length} more characters)`))
    assert.equal(cut.short, character)
  }
})

test('a text of exactly 8 KB is not cut', () => {
  const message = 'é'.repeat(maxFieldBytes / 2)
  assert.equal(JSON.parse(safeLine(`${JSON.stringify({ message })}\n`)).message, message)
})

test('a password in a URL is hidden, the rest of the URL is not', () => {
  const line = safeLine(`${JSON.stringify({ message: 'cannot reach postgres://me:pa55@db:5432/x?a=b:c@d' })}\n`)
  assert.equal(JSON.parse(line).message, 'cannot reach postgres://me:[redacted]@db:5432/x?a=b:c@d')
})

test('a long hostile text takes linear time', () => {
  const line = `${JSON.stringify({ message: '://a:'.repeat(200_000) })}\n`
  const began = performance.now()
  safeLine(line)
  assert.ok(performance.now() - began < 1000)
})

test('keys and tickets are hidden, but for the id of the key', () => {
  const key = `mr_abcdefghijkl_${'Z'.repeat(38)}`
  const ticket = `mrt_abcdefghijkl_${'eyJ1_-'.repeat(8)}.${'s'.repeat(43)}`
  assert.equal(
    safeLine(`{"a":"x${key}","b":["${ticket}"]}\n`),
    '{"a":"xmr_abcdefghijkl_[redacted]","b":["mrt_abcdefghijkl_[redacted]"]}\n',
  )
})
