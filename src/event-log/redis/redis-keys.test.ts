import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RedisKeys } from './redis-keys.ts'

/** The part that Redis Cluster hashes: between the first opening brace and the next closing one, unless it is empty. */
function hashTag(key: string): string {
  const start = key.indexOf('{')
  const end = key.indexOf('}', start + 1)
  return start >= 0 && end > start + 1 ? key.slice(start + 1, end) : key
}

test('all keys of a partition share one hash tag, even when the names contain braces', () => {
  const keys = new RedisKeys('millrace')
  for (const topic of ['orders', '{', '}', '{}', 'a{b}c', '%7B', 'a/1', ' ']) {
    for (const group of ['landing', '{x}', '}{', ':']) {
      const partition = keys.partition(topic, 3)
      const all = [
        ...partition.forAppend(),
        ...partition.forDrop(group),
        ...partition.forReopen(group, 'low'),
        ...partition.forHeldKeys(group, 'low'),
      ]
      const tags = new Set(all.map(hashTag))
      assert.equal(tags.size, 1, `${topic} ${group}`)
      assert.match([...tags][0]!, /\/3$/)
    }
  }
})

test('no two partitions share a key', () => {
  const keys = new RedisKeys('millrace')
  const names = ['a', 'a/1', '{a', '%7Ba', 'a}', 'a%7D', 'A']
  const books = names.flatMap((name) => [0, 1].map((partition) => keys.partition(name, partition).books))
  assert.equal(new Set(books).size, books.length)
})

test('a prefix with braces or spaces, and an empty one, are refused', () => {
  for (const prefix of ['', '{x}', 'a}', 'a b']) assert.throws(() => new RedisKeys(prefix))
})
