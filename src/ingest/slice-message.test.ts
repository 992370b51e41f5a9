import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Lane, lanes, limits } from '../event/event.ts'
import { MessageScanner } from '../event/message-scan.ts'
import { decodeBatch, encodeBatch } from '../event/record-batch.ts'
import { crc32c } from '../lib/crc32c.ts'
import { sliceMessage } from './slice-message.ts'

const options = { partitions: 1, refusals: null, keylessPartition: 0, receivedAtMicros: 7, newId: () => 'x'.repeat(36) }

test('a message of one lane goes to one stream without being copied', () => {
  const bytes = encodeBatch([
    { type: 'a', id: '1' },
    { type: 'b', id: '2' },
  ])
  const slices = sliceMessage(new MessageScanner().scan(bytes), options)
  assert.equal(slices.length, 1)
  assert.deepEqual(slices[0]?.batches, [{ bytes, count: 2, receivedAtMicros: 7 }])
  assert.equal(slices[0]?.batches[0]?.bytes.buffer, bytes.buffer)
})

test('batches are cut at 1,000 events and at 256 KiB; a larger event has a batch of its own', () => {
  const many = encodeBatch(Array.from({ length: 2500 }, () => ({ type: 'a', id: '1' })))
  const [slice] = sliceMessage(new MessageScanner().scan(many), options)
  assert.deepEqual(
    slice?.batches.map(({ count }) => count),
    [1000, 1000, 500],
  )
  const data = new Uint8Array(100_000)
  const large = { type: 'a', id: '1', data, dataContentType: 'text/plain' }
  const huge = { ...large, data: new Uint8Array(300_000) }
  const mixed = encodeBatch([large, large, large, huge, large])
  const [cut] = sliceMessage(new MessageScanner().scan(mixed), options)
  assert.deepEqual(
    cut?.batches.map(({ count }) => count),
    [2, 1, 1, 1],
  )
  assert.deepEqual(Buffer.concat(cut!.batches.map(({ bytes }) => bytes)), Buffer.from(mixed))
})

test('every event that was not refused is in exactly one slice, in its lane, in order, by its key, with an id', () => {
  const anyEvent = fc.record({
    id: fc.constantFrom('', 'given'),
    type: fc.constantFrom('t', ''),
    lane: fc.constantFrom<Lane>(...lanes),
    key: fc.constantFrom('', 'a', 'b', '{c}', 'd'),
    data: fc.integer().map((number) => new TextEncoder().encode(String(number))),
  })
  fc.assert(
    fc.property(
      fc.array(anyEvent, { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 5 }),
      (events, partitions) => {
        const keylessPartition = partitions - 1
        let made = 0
        const newId = () => `made-${String(made++).padStart(31, '0')}`
        const scan = new MessageScanner().scan(encodeBatch(events))
        const slices = sliceMessage(scan, { ...options, partitions, keylessPartition, newId })
        const seen = new Set<number>()
        for (const { partition, laneIndex, batches, count, indexes } of slices) {
          const out = batches.flatMap(({ bytes }) => decodeBatch(bytes))
          assert.equal(out.length, count)
          for (const [place, event] of out.entries()) {
            const index = indexes === null ? place : indexes[place]!
            const sent = events[index]!
            seen.add(index)
            assert.equal(event.lane, lanes[laneIndex])
            assert.equal(event.lane, sent.lane)
            assert.deepEqual(Buffer.from(event.data), Buffer.from(sent.data))
            assert.match(event.id, sent.id === '' ? /^made-\d{31}$/ : /^given$/)
            const hash = crc32c(new TextEncoder().encode(sent.key))
            assert.equal(partition, sent.key === '' ? keylessPartition : hash % partitions)
          }
          if (indexes !== null)
            assert.deepEqual(
              [...indexes].sort((a, b) => a - b),
              indexes,
            )
        }
        assert.equal(seen.size, events.filter(({ type }) => type !== '').length)
        const streams = slices.map(({ partition, laneIndex }) => `${partition}/${laneIndex}`)
        assert.equal(new Set(streams).size, streams.length)
      },
    ),
    { numRuns: 300 },
  )
})

test('the partition is picked by source, subject or an attribute; an absent or empty value counts as none', () => {
  const values = ['', 'a', 'b', 'ä']
  const attributesOf = (value: string) => [
    ['tenantid', 'x'],
    ['tenant', 'an earlier value'],
    ['tenant', value],
  ]
  const events = values.map((value) => ({
    type: 't',
    id: '1',
    key: 'the same',
    source: value,
    subject: value,
    attributes: attributesOf(value) as [string, string][],
  }))
  const scanner = new MessageScanner()
  for (const by of ['source', 'subject', 'attributes.tenant'] as const) {
    const slices = sliceMessage(scanner.scan(encodeBatch([...events, { type: 't', id: '1' }]), by), {
      ...options,
      partitions: 1024,
      keylessPartition: 1023,
    })
    const expected = values.slice(1).map((value) => crc32c(new TextEncoder().encode(value)) % 1024)
    assert.deepEqual(
      slices.map(({ partition, count }) => [partition, count]).sort(),
      [...expected.map((partition) => [partition, 1]), [1023, 2]].sort(),
      by,
    )
  }
})

test('an id is added to events of every length, also when the length prefix grows by one byte', () => {
  for (let length = 0; length < 300; length++) {
    const event = { type: 't', data: new Uint8Array(length).fill(0x20), dataContentType: 'text/plain' }
    const scan = new MessageScanner().scan(encodeBatch([event, event]))
    const [slice] = sliceMessage(scan, options)
    const out = decodeBatch(slice!.batches[0]!.bytes)
    assert.deepEqual(
      out.map(({ id, data }) => [id, data.length]),
      [
        [options.newId(), length],
        [options.newId(), length],
      ],
    )
  }
  assert.equal(limits.maxEntryEvents, 1000)
})
