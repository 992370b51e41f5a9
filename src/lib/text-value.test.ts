import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import * as v from 'valibot'
import { commaList, host, hostAndPort, wholeNumber } from './text-value.ts'

test('any whole number within the range is accepted', () => {
  const schema = wholeNumber(0, Number.MAX_SAFE_INTEGER)
  fc.assert(fc.property(fc.maxSafeNat(), (value) => assert.equal(v.parse(schema, String(value)), value)))
})

test('any other notation of a number is rejected', () => {
  for (const text of ['', ' 1', '1 ', '+1', '-1', '1.0', '1e3', '0x10', '01', '1_000', '1,000', '256MiB', 'NaN']) {
    assert.equal(v.is(wholeNumber(-10, 1e9), text), false, text)
  }
})

test('a whole number outside the range is rejected', () => {
  const schema = wholeNumber(10, 20)
  for (const text of ['9', '21']) assert.equal(v.is(schema, text), false, text)
  for (const text of ['10', '20']) assert.equal(v.parse(schema, text), Number(text))
})

test('the issue about a comma-separated list names the first bad part', () => {
  const schema = commaList(v.picklist(['a', 'b']))
  const badPart = (text: string) => v.safeParse(schema, text).issues?.[0].path?.[0].value
  assert.deepEqual(v.parse(schema, 'a, b'), ['a', 'b'])
  assert.equal(badPart('a,c,d'), 'c')
  assert.equal(badPart('a,'), '')
})

test('an address must have a host and a port', () => {
  for (const text of ['127.0.0.1:50051', 'localhost:1', 'millrace-0.millrace:65535', '[::1]:50051']) {
    assert.equal(v.parse(hostAndPort, text), text)
  }
  for (const text of ['localhost', ':50051', 'localhost:0', 'localhost:65536', '::1:50051', 'http://localhost:80']) {
    assert.equal(v.is(hostAndPort, text), false, text)
  }
})

test('every IP address is a host', () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => assert.ok(v.is(host, address), address)))
})

test('digits and dots are a host only if they are an IP address', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9.]{1,16}$/), (text) => {
      assert.equal(v.is(host, text), isIP(text) === 4, text)
    }),
  )
  for (const text of ['', '0.0.0', 'a b', '-a', 'a..b', 'a:1', 'http://a', 'a/b'])
    assert.equal(v.is(host, text), false, text)
})
