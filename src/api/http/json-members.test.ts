import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { JsonText } from '../../lib/json/json-text.ts'
import { JsonMembers, skipJsonValue } from './json-members.ts'

interface Member {
  readonly name: string
  readonly text: string
  readonly fault: string
}

function walk(text: string): { members: Member[]; end: number; brokenAt: number } {
  const bytes = Buffer.from(text)
  const cursor = new JsonMembers(new JsonText().load(bytes)).reset(0, bytes.length)
  const members: Member[] = []
  while (cursor.next()) {
    const { name, fault } = cursor
    members.push({ name, text: bytes.toString('utf8', cursor.valueStart, cursor.valueEnd), fault })
  }
  return { members, end: cursor.end, brokenAt: cursor.brokenAt }
}

const objects = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue({ maxDepth: 4 }), { maxKeys: 6 })

test('the members of any object are found, each with the text of its value', () => {
  fc.assert(
    fc.property(objects, fc.constantFrom(undefined, 1, '\t'), (object, indent) => {
      const text = JSON.stringify(object, null, indent)
      const { members, end, brokenAt } = walk(`${text} behind`)
      assert.equal(brokenAt, -1)
      assert.equal(end, Buffer.byteLength(text))
      assert.deepEqual(
        members.map(({ name }) => name),
        Object.keys(object),
      )
      for (const { name, text: value } of members)
        assert.equal(JSON.stringify(JSON.parse(value)), JSON.stringify(object[name]))
    }),
  )
})

test('an object that is cut off anywhere is broken', () => {
  const text = '{"a":{"b":[1,"x\\n"]}, "c" : -1.5e3, "ü":null}'
  assert.equal(walk(text).members.length, 3)
  for (let length = 1; length < text.length; length++) {
    assert.notEqual(walk(text.slice(0, length)).brokenAt, -1, text.slice(0, length))
  }
})

test('an invalid value is skipped, and the members after it are found', () => {
  const deep = `${'['.repeat(80)}"]"${']'.repeat(80)}`
  const { members, brokenAt } = walk(`{"a":${deep},"b":"\\u0000 \\" }","c":{"x":"\\ud800"},"d":1}`)

  assert.equal(brokenAt, -1)
  assert.deepEqual(
    members.map(({ name, fault }) => [name, fault.replace(/ \(.*/, '')]),
    [
      ['a', 'nests deeper than 64 levels'],
      ['b', 'has the escape \\u0000, which no database text can hold'],
      ['c', 'has half a surrogate pair as a \\u escape'],
      ['d', ''],
    ],
  )
})

test('a value of any depth is skipped to its end; without an end the result is -1', () => {
  const million = 1_000_000
  const deep = Buffer.from(`${'['.repeat(million)}${']'.repeat(million)},`)
  assert.equal(skipJsonValue(deep, 0, deep.length), 2 * million)
  assert.equal(skipJsonValue(deep, 0, million), -1)
})
