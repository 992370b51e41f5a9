import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RecentEntries, StreamTail } from './recent-entries.ts'
import { StoredEntry } from './stored-entry.ts'

function entry(firstOffset: number, byteLength: number): StoredEntry {
  const made = new StoredEntry(firstOffset, 0, null)
  made.join({ bytes: new Uint8Array(byteLength), count: 10, receivedAtMicros: 1 })
  made.bytes = new Uint8Array(byteLength)
  made.pieces = null
  return made
}

test('the oldest entries of all streams are evicted first when there are too many bytes', () => {
  const recent = new RecentEntries(100)
  const [a, b] = [new StreamTail(), new StreamTail()]
  recent.add(a, entry(0, 40))
  recent.add(b, entry(0, 40))
  recent.add(a, entry(10, 40))
  assert.equal(a.find(0), undefined)
  assert.equal(b.find(0)?.firstOffset, 0)
  assert.equal(a.find(10)?.firstOffset, 10)
  assert.equal(recent.bytes, 80)
})

test('an evicted entry releases its bytes', () => {
  const recent = new RecentEntries(10)
  const tail = new StreamTail()
  const first = entry(0, 8)
  recent.add(tail, first)
  recent.add(tail, entry(10, 8))
  assert.equal(first.bytes, null)
})

test('the newest entries that were not dropped stay in memory, and never more bytes than the bound', () => {
  const step = fc.record({
    stream: fc.nat(2),
    bytes: fc.integer({ min: 1, max: 60 }),
    dropTo: fc.option(fc.nat(400), { freq: 3 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 1500, size: 'max' }), (steps) => {
      const recent = new RecentEntries(200)
      const tails = [new StreamTail(), new StreamTail(), new StreamTail()]
      const ends = [0, 0, 0]
      const dropped = [0, 0, 0]
      for (const { stream, bytes, dropTo } of steps) {
        recent.add(tails[stream]!, entry(ends[stream]!, bytes))
        ends[stream]! += 10
        if (dropTo !== null) {
          recent.dropBelow(tails[stream]!, dropTo * 10)
          dropped[stream] = Math.max(dropped[stream]!, Math.min(dropTo * 10, ends[stream]!))
        }
        let total = 0
        tails.forEach((tail, index) => {
          const first = tail.first?.firstOffset ?? ends[index]!
          assert.ok(first >= dropped[index]!, 'dropped entries are gone')
          for (let offset = first; offset < ends[index]!; offset += 10) total += tail.find(offset)!.byteLength
          assert.equal(tail.find(first - 10), undefined)
          assert.equal(tail.size, (ends[index]! - first) / 10)
        })
        assert.equal(recent.bytes, total)
        assert.ok(total <= 200)
      }
    }),
    { numRuns: 20 },
  )
})
