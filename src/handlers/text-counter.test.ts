import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { samples } from '../../test/support/depth.ts'
import { TextCounter, type TextCounts } from './text-counter.ts'

function countIn(chunks: readonly Uint8Array[]): TextCounts {
  const counter = new TextCounter()
  for (const chunk of chunks) counter.push(chunk)
  return counter.end()
}

/** The definition: over the text that TextDecoder makes of all the bytes. */
function expected(bytes: Uint8Array): TextCounts {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
  return {
    words: text.match(/\P{White_Space}+/gu)?.length ?? 0,
    characters: [...text].length,
    lines: text.split('\n').length - (text === '' || text.endsWith('\n') ? 1 : 0),
  }
}

test('counts what stands in the definition', () => {
  const count = (text: string) => countIn([Buffer.from(text)])
  assert.deepEqual(count(''), { words: 0, characters: 0, lines: 0 })
  assert.deepEqual(count('to be or not to be'), { words: 6, characters: 18, lines: 1 })
  assert.deepEqual(count(' one\ntwo\n'), { words: 2, characters: 9, lines: 2 })
  assert.deepEqual(count('😀 né\u3000e\u0301\n\nx'), { words: 4, characters: 10, lines: 3 })
})

test('finds the White_Space of Unicode, and no other character', () => {
  const differ: string[] = []
  // Beyond the first plane there is none.
  for (let code = 0; code <= 0x10fff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue
    const between = `a${String.fromCodePoint(code)}b`
    const isSpace = /\p{White_Space}/u.test(between)
    if (countIn([Buffer.from(between)]).words !== (isSpace ? 2 : 1)) differ.push(code.toString(16))
  }
  assert.deepEqual(differ, [])
})

test('counts the same whatever the bytes are, and wherever they are cut', () => {
  const awkward = fc.constantFrom(0x00, 0x09, 0x0a, 0x20, 0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf)
  const leads = fc.constantFrom(0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf3, 0xf4, 0xf5, 0xff)
  const noise = fc.array(fc.oneof(awkward, leads), { maxLength: 24 }).map((bytes) => Uint8Array.from(bytes))
  const text = fc.string({ unit: 'binary', maxLength: 12 }).map((each) => new TextEncoder().encode(each))
  const spaced = fc.constantFrom('\u2003a\u00a0', 'é\u1680', '\ufeffb\n').map((each) => new TextEncoder().encode(each))
  fc.assert(
    fc.property(fc.array(fc.oneof(noise, text, spaced), { maxLength: 4 }), (parts) => {
      const bytes = Buffer.concat(parts)
      const counts = expected(bytes)
      for (let cut = 0; cut <= bytes.length; cut++) {
        assert.deepEqual(countIn([bytes.subarray(0, cut), bytes.subarray(cut)]), counts)
      }
      assert.deepEqual(countIn([...bytes].map((byte) => Uint8Array.of(byte))), counts)
    }),
    { numRuns: samples(100, 5_000) },
  )
})
