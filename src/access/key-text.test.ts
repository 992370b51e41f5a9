import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { keyPattern, newKeyText, readKey } from './key-text.ts'

test('a new key is well formed, and each one is another', () => {
  const texts = Array.from({ length: 100 }, newKeyText)
  assert.equal(new Set(texts).size, 100)
  for (const text of texts) {
    assert.match(text, keyPattern)
    assert.deepEqual(readKey(text), { keyId: text.slice(3, 15) })
  }
})

test('the checksum is CRC-32 in base 62, and finds every changed character', () => {
  const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  const text = newKeyText()
  const checksum = [...text.slice(-6)].reduce((sum, digit) => sum * 62 + digits.indexOf(digit), 0)
  assert.equal(checksum, crc32(text.slice(0, -6)))

  for (let at = 3; at < text.length; at++) {
    if (text[at] === '_') continue
    const other = text[at] === 'a' ? 'b' : 'a'
    assert.match(problemOf(text.slice(0, at) + other + text.slice(at + 1)), /checksum/)
  }
})

test('what is not a key is told without being repeated', () => {
  const text = newKeyText()
  for (const wrong of ['', 'mr_', text.slice(1), `${text}a`, ` ${text}`, `${text}\n`, text.replace(/.$/, '-')]) {
    const problem = problemOf(wrong)
    assert.match(problem, /^a key is mr_/)
    assert.ok(!problem.includes(text.slice(10, 20)))
  }
})

function problemOf(text: string): string {
  const reading = readKey(text)
  return 'problem' in reading ? reading.problem : ''
}
