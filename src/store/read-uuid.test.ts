import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isUuid, uuidFromBytes, uuidToBytes } from '../event/event.ts'
import { readUuid } from './read-uuid.ts'

const target = new Uint8Array(16)

/** Reads the text between other bytes. */
function read(text: string): string {
  const bytes = Buffer.from(`-a${text}f-`)
  return readUuid(bytes, 2, bytes.length - 2, target)
}

test('a UUID is read as its 16 bytes, in lower, upper and mixed case', () => {
  const flips = fc.array(fc.boolean(), { minLength: 36, maxLength: 36 })
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), flips, (bytes, upper) => {
      const lower = uuidFromBytes(bytes)
      const text = Array.from(lower, (letter, at) => (upper[at] ? letter.toUpperCase() : letter)).join('')
      assert.equal(read(text), text === lower ? 'lower case' : 'other case')
      assert.deepEqual(target, bytes)
    }),
  )
})

test('readUuid and isUuid accept the same texts', () => {
  const letter = fc.constantFrom('0', '9', 'a', 'f', 'A', 'F', '-', 'g', 'G', '/', ':', '@', '`', '\0', 'ü', '{')
  const near = fc
    .tuple(fc.uuid(), fc.nat(35), letter)
    .map(([uuid, at, with_]) => uuid.slice(0, at) + with_ + uuid.slice(at + 1))
  const cut = fc.tuple(fc.uuid(), fc.nat(36)).map(([uuid, length]) => uuid.slice(0, length))
  const loose = fc.array(letter, { minLength: 35, maxLength: 37 }).map((letters) => letters.join(''))
  fc.assert(
    fc.property(fc.oneof(near, cut, loose), (text) => {
      assert.equal(read(text) !== 'none', isUuid(text))
      if (isUuid(text)) assert.deepEqual(target, new Uint8Array(uuidToBytes(text)))
    }),
    { numRuns: 2000 },
  )
})
