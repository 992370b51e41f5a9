import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { describeJsonFault, JsonText } from './json-text.ts'

const json = new JsonText()
const checkJson = (bytes: Uint8Array) => json.load(bytes).check(0, bytes.length)
const encode = (text: string) => new TextEncoder().encode(text)
const parses = (text: string) => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
const check = (text: string) => {
  const bytes = encode(text)
  const result = checkJson(bytes)
  return result === 0 ? 'valid' : describeJsonFault(result, 0)
}

test('every JSON text that JSON.stringify writes is valid', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), fc.nat(3), (value, indent) => {
      const text = JSON.stringify(value, null, indent)
      // JSON.stringify writes these, but the check rejects them on purpose.
      fc.pre(!text.includes('\\u0000') && !/\\ud[89a-f]/i.test(text))
      assert.equal(check(text), 'valid')
    }),
    { numRuns: 500 },
  )
})

test('it agrees with JSON.parse on texts with one byte changed', () => {
  const seeds = ['{"a":[1,-2.5e+3,true,null,"x\\n\\u00e9"],"b":{}}', '[[],{},"",0,-0.1E5,false]', ' "tab\\t" ']
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.nat(), fc.integer({ min: 1, max: 127 }), (seed, place, byte) => {
      const bytes = encode(seed)
      bytes[place % bytes.length] = byte
      const text = new TextDecoder().decode(bytes)
      fc.pre(!/\\u0000|\\ud[89a-f]/i.test(text))
      assert.equal(check(text) === 'valid', parses(text), text)
    }),
    { numRuns: 3000 },
  )
})

test('a fault describes the problem and its position', () => {
  assert.match(check('{"a":'), /not valid JSON \(at byte 5\)/)
  assert.match(check('{"a":"\\u0000"}'), /\\u0000.*\(at byte 6\)/)
  assert.match(check('"\\ud800"'), /surrogate/)
  assert.match(check('"\\udc00\\ud800"'), /surrogate/)
  assert.equal(check('"\\ud83d\\ude00"'), 'valid')
  assert.match(check(''), /not valid JSON/)
  assert.match(check('1 2'), /not valid JSON/)
  assert.match(check('\ufeff1'), /not valid JSON/)
  assert.match(check('[1e399, 1e400]'), /more than 400 digits written out \(at byte 8\)/)
})

test('the digits that a number takes written out are those of its decimal notation', () => {
  const digitsOf = (whole: string, fraction: string, exponent: number) =>
    Math.max(1, whole.length + exponent) + Math.max(0, fraction.length - exponent)
  const digits = fc.stringMatching(/^[1-9][0-9]{0,20}$/)
  fc.assert(
    fc.property(digits, digits, fc.integer({ min: -420, max: 420 }), fc.constantFrom('', '-'), (...parts) => {
      const [whole, fraction, exponent, sign] = parts
      for (const part of ['', fraction]) {
        const text = `${sign}${whole}${part === '' ? '' : `.${part}`}e${exponent}`
        assert.equal(check(`[${text}]`) === 'valid', digitsOf(whole, part, exponent) <= 400, text)
      }
    }),
  )
})

test('64 levels pass, 65 do not, and brackets are matched by kind at every depth', () => {
  assert.equal(check('['.repeat(64) + ']'.repeat(64)), 'valid')
  assert.match(check('['.repeat(65) + ']'.repeat(65)), /deeper than 64/)
  assert.match(check('['.repeat(1_000_000)), /deeper than 64/)
  const mixed = '[{"a":'.repeat(32)
  assert.equal(check(`${mixed}1${'}]'.repeat(32)}`), 'valid')
  assert.match(check(`${mixed}1${'}]'.repeat(31)}]}`), /not valid JSON/)
})

test('bytes that are not UTF-8 are reported', () => {
  for (const bad of [[0xc0, 0xa0], [0xed, 0xa0, 0x80], [0xff], [0xe2, 0x82]]) {
    const bytes = Uint8Array.from([0x22, ...bad, 0x22])
    assert.match(describeJsonFault(checkJson(bytes), 0), /UTF-8/)
  }
})

test('inside strings exactly the byte sequences that are UTF-8 pass', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 5 }), fc.boolean(), (random, high) => {
      const inside = random
        .map((byte) => (high ? byte | 0x80 : byte))
        .filter((byte) => byte >= 0x20 && byte !== 0x22 && byte !== 0x5c)
      const bytes = Uint8Array.from([0x22, ...inside, 0x22])
      assert.equal(checkJson(bytes) === 0, isUtf8(bytes))
    }),
    { numRuns: 20_000 },
  )
  const everyCharacter = Array.from({ length: 0x110000 - 0x80 }, (_, index) => index + 0x80)
    .filter((point) => point < 0xd800 || point > 0xdfff)
    .map((point) => String.fromCodePoint(point))
  assert.equal(check(JSON.stringify(everyCharacter.join(''))), 'valid')
})

test('endOfValue finds the end of a value between other bytes', () => {
  const bytes = encode('xx {"a":[1]} ,rest')
  assert.equal(json.load(bytes).endOfValue(2, bytes.length), 12)
  assert.equal(json.load(encode('1e400000,')).endOfValue(0, 9), 8)
})

test('a string is checked correctly wherever a special character or escape stands in it', () => {
  const pieces = ['"', '\\n', '\\u00e9', '\n', '\u00e9', '\u{1f600}', '\\x', '\\']
  for (let length = 0; length <= 48; length++) {
    for (let place = 0; place <= length; place++) {
      for (const piece of pieces) {
        const text = `"${'a'.repeat(place)}${piece}${'b'.repeat(length - place)}"`
        assert.equal(check(text) === 'valid', parses(text), text)
      }
    }
  }
})

test('bytes after the end are ignored, even if a longer text has left some there', () => {
  const text = encode(`["${'x'.repeat(40)}",12]`)
  for (let end = 0; end < text.length; end++) {
    json.load(text)
    assert.ok(json.check(0, end) < 0, `${end} bytes`)
  }
})

test('texts up to the last byte of the memory pass, and larger ones after smaller ones', () => {
  for (const length of [65_519, 65_520, 65_521, 65_536, 4 * 1024 * 1024, 3]) {
    assert.equal(check(`"${'x'.repeat(length - 2)}"`), 'valid', `${length} bytes`)
  }
})
