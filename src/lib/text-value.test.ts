import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { isHost, parseCommaList, parseHostAndPort, parseOneOf, parseWholeNumber } from './text-value.ts'

test('any whole number within the range is parsed', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      assert.deepEqual(parseWholeNumber(String(value), 0, Number.MAX_SAFE_INTEGER), { value })
    }),
  )
})

test('signs, separators, spaces, exponents and leading zeros are rejected', () => {
  for (const text of ['', ' 1', '1 ', '+1', '-1', '1.0', '1e3', '0x10', '01', '1_000', '1,000', '256MiB', 'NaN']) {
    assert.deepEqual(parseWholeNumber(text, -10, 1e9), { refused: null }, text)
  }
})

test('a whole number outside the range is rejected', () => {
  assert.deepEqual(parseWholeNumber('9', 10, 20), { refused: null })
  assert.deepEqual(parseWholeNumber('21', 10, 20), { refused: null })
  assert.deepEqual(parseWholeNumber('10', 10, 20), { value: 10 })
  assert.deepEqual(parseWholeNumber('20', 10, 20), { value: 20 })
})

test('a word must be one of the allowed words, in the same case', () => {
  assert.deepEqual(parseOneOf('info', ['info', 'warn']), { value: 'info' })
  assert.deepEqual(parseOneOf('INFO', ['info', 'warn']), { refused: null })
})

test('a rejected comma list names its first invalid part', () => {
  const parse = (part: string) => parseOneOf(part, ['a', 'b'])
  assert.deepEqual(parseCommaList('a, b', parse), { value: ['a', 'b'] })
  assert.deepEqual(parseCommaList('a,c,d', parse), { refused: '"c" is not one' })
  assert.deepEqual(parseCommaList('a,', parse), { refused: '"" is not one' })
})

test('an address has a host and a port', () => {
  for (const text of ['127.0.0.1:50051', 'localhost:1', 'millrace-0.millrace:65535', '[::1]:50051']) {
    assert.deepEqual(parseHostAndPort(text), { value: text })
  }
  for (const text of ['localhost', ':50051', 'localhost:0', 'localhost:65536', '::1:50051', 'http://localhost:80']) {
    assert.deepEqual(parseHostAndPort(text), { refused: null }, text)
  }
})

test('every IP address is a host', () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => assert.ok(isHost(address), address)))
})

test('digits and dots that are not an IP address are not a host', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9.]{1,16}$/), (text) => {
      assert.equal(isHost(text), isIP(text) === 4, text)
    }),
  )
  for (const text of ['', '0.0.0', 'a b', '-a', 'a..b', 'a:1', 'http://a', 'a/b'])
    assert.equal(isHost(text), false, text)
})
