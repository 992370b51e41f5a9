import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventIdGenerator, eventIdOf, isJsonContentType, isTopicName, isUuid, uuidFromBytes } from './event.ts'

test('generated ids are UUIDv7 and ascending, within a millisecond and when the clock steps back', () => {
  let now = 1_700_000_000_000
  const generator = new EventIdGenerator(() => now)
  let last = ''
  for (let round = 0; round < 20_000; round++) {
    if (round === 10_000) now -= 5
    const id = generator.next()
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.ok(id > last, `${id} after ${last}`)
    last = id
  }
})

test('the row key is the id itself if that is a UUID in any case, else the UUIDv5 of source and id', () => {
  const uuid = '0191D2A0-7B3C-7DEF-8ABC-0123456789AB'
  assert.equal(uuidFromBytes(eventIdOf('/a', uuid)), uuid.toLowerCase())
  // Computed with Python's uuid.uuid5 over '/a\0order-1'.
  assert.equal(uuidFromBytes(eventIdOf('/a', 'order-1')), 'f1787d83-58ac-5e0b-bcae-0e27b32a736a')
  assert.notDeepEqual(eventIdOf('/a', 'order-1'), eventIdOf('/b', 'order-1'))
})

test('only the 36-character form is a UUID', () => {
  assert.ok(isUuid('00000000-0000-0000-0000-000000000000'))
  for (const no of ['', '{0191d2a0-7b3c-7def-8abc-0123456789ab}', '0191d2a07b3c7def8abc0123456789ab', 'x'.repeat(36)]) {
    assert.ok(!isUuid(no), no)
  }
})

test('JSON is application/json or +json, whatever the case and the parameters', () => {
  for (const yes of ['', 'application/json', 'Application/JSON; charset=utf-8', 'application/vnd.x+json;v=1']) {
    assert.ok(isJsonContentType(yes), yes)
  }
  for (const no of ['text/plain', 'application/jsonl', 'application/json+zip', 'json'])
    assert.ok(!isJsonContentType(no), no)
})

test('topic names begin with a letter or digit and have at most 64 characters', () => {
  for (const yes of ['events', 'a', '0.a_b-c', 'a'.repeat(64)]) assert.ok(isTopicName(yes), yes)
  for (const no of ['', 'A', '_a', '.a', 'a b', 'a/b', 'a{b}', 'a'.repeat(65), 'é']) assert.ok(!isTopicName(no), no)
})
