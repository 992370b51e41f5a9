import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../event-log-bench.ts'
import {
  batchOf,
  group,
  idsOf,
  landed,
  named,
  perLane,
  readAllSettled,
  stream,
  takeAll,
  topic,
} from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

export function readingSettled(story: Story): void {
  /** Appends an entry of 600 events for each name, too large to be joined, and settles all but some. */
  const fill = async (bench: Bench, names: readonly string[], unsettled: readonly string[] = []) => {
    const consumer = await bench.consume()
    for (const name of names) await bench.append('normal', batchOf(named(name, 600)))
    const deliveries = await takeAll(consumer)
    const isSettled = (_: unknown, index: number) => !unsettled.includes(names[index]!)
    await consumer.settle(deliveries.filter(isSettled).map(landed))
    return deliveries
  }
  const entriesOf = (...names: readonly string[]) => names.flatMap((name) => named(name, 600))

  story(
    'readSettled returns the entries that a group has settled, oldest first, each with its position',
    async (bench) => {
      const deliveries = await fill(bench, ['a', 'b', 'c'])
      const expected = deliveries.map(({ position, batch }) => ({
        position,
        batch: { ...batch, bytes: Buffer.from(batch.bytes) },
      }))
      for (const round of ['at once', 'after a crash']) {
        const entries = await readAllSettled(bench.log)
        assert.deepEqual(
          entries.map(({ position, batch }) => ({ position, batch: { ...batch, bytes: Buffer.from(batch.bytes) } })),
          expected,
          round,
        )
        await bench.crash()
      }
    },
  )

  story('readSettled skips entries that the group has not settled', async (bench) => {
    await fill(bench, ['a', 'b', 'c', 'd', 'e', 'f'], ['b', 'c', 'f'])
    await bench.append('normal', batchOf(named('g', 600)))
    assert.deepEqual(idsOf(await readAllSettled(bench.log)), entriesOf('a', 'd', 'e'))
    for (const [fromOffset, expected] of [
      [600, ['d', 'e']],
      [1800, ['d', 'e']],
      [2500, ['e']],
      [3000, []],
    ] as const) {
      assert.deepEqual(idsOf(await readAllSettled(bench.log, { from: fromOffset })), entriesOf(...expected))
    }
    await bench.crash()
    assert.deepEqual(idsOf(await readAllSettled(bench.log)), entriesOf('a', 'd', 'e'))
  })

  story('readSettled reads one group and one stream', async (bench) => {
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'second' }] })
    await fill(bench, ['a', 'b'])
    const second = await bench.consume('second')
    const [a] = await takeAll(second)
    await second.settle([landed(a!)])
    assert.deepEqual(idsOf(await readAllSettled(bench.log)), entriesOf('a', 'b'))
    assert.deepEqual(idsOf(await readAllSettled(bench.log, { name: 'second' })), entriesOf('a'))
    assert.deepEqual(await readAllSettled(bench.log, { of: stream('high') }), [])
    assert.deepEqual(await readAllSettled(bench.log, { of: stream('normal', 1) }), [])
  })

  story(
    'readSettled starts with the entry that contains or follows fromOffset, and continues at nextOffset',
    async (bench) => {
      await fill(bench, ['a', 'b', 'c'])
      const read = (fromOffset: number) => bench.log.readSettled(stream(), group, { fromOffset, maxBytes: 1 })
      for (const [fromOffset, name, nextOffset] of [
        [0, 'a', 600],
        [599, 'a', 600],
        [600, 'b', 1200],
        [601, 'b', 1200],
        [1200, 'c', null],
        [1799, 'c', null],
      ] as const) {
        const page = await read(fromOffset)
        assert.deepEqual([idsOf(page.entries), page.nextOffset], [named(name, 600), nextOffset], `from ${fromOffset}`)
      }
      assert.deepEqual(await read(1800), { entries: [], nextOffset: null })
      assert.deepEqual(await read(9999), { entries: [], nextOffset: null })
    },
  )

  story('one call of readSettled reads about maxBytes', async (bench) => {
    const names = Array.from({ length: 12 }, (_, index) => `${index}.`)
    await fill(bench, names)
    const entryBytes = batchOf(named('0.', 600)).bytes.length
    const { entries } = await bench.log.readSettled(stream(), group, { fromOffset: 0, maxBytes: entryBytes * 3.5 })
    assert.equal(entries.length, 4)
    assert.deepEqual(idsOf(await readAllSettled(bench.log, { maxBytes: entryBytes * 3.5 })), entriesOf(...names))
  })

  story(
    'when trimming removes entries between two calls, the second call continues at the oldest kept entry',
    async (bench) => {
      await fill(bench, ['a', 'b', 'c', 'd', 'e'])
      const options = { fromOffset: 0, maxBytes: 1 }
      const { nextOffset } = await bench.log.readSettled(stream(), group, options)
      const { length } = batchOf(named('a', 600)).bytes
      await bench.log.trim(topic, { keepSinceMs: 0, maxBytes: length * 2.5 })
      assert.deepEqual(idsOf(await readAllSettled(bench.log, { from: nextOffset! })), entriesOf('d', 'e'))
      assert.deepEqual(idsOf(await readAllSettled(bench.log)), entriesOf('d', 'e'))
      await bench.crash()
      assert.deepEqual(idsOf(await readAllSettled(bench.log)), entriesOf('d', 'e'))
    },
  )

  story('reopened batches do not occur in the stream a second time', async (bench) => {
    const [a] = await fill(bench, ['a'])
    await bench.log.reopen(stream(), group, [{ batch: a!.batch, attempt: 1, offset: 0 }])
    const consumer = await bench.consume()
    await consumer.settle((await takeAll(consumer)).map(landed))
    assert.deepEqual(idsOf(await readAllSettled(bench.log)), entriesOf('a'))
  })

  story(
    'during appends, settlements and trimming, readSettled returns only settled entries, in order and once each',
    async (bench) => {
      const consumer = await bench.consume()
      const settled = new Set<string>()
      const expected = named('e', 300)
      let isWorking = true
      const consuming = (async () => {
        while (settled.size < expected.length) {
          const deliveries = await consumer.next({ maxEvents: perLane(20), maxWaitMs: 5_000 })
          for (const id of idsOf(deliveries)) settled.add(id)
          await consumer.settle(deliveries.map(landed))
          await bench.log.trim(topic, { keepSinceMs: 0, maxBytes: 2000 })
        }
      })()
      const reading = (async () => {
        let last = -1
        for (let fromOffset = 0; isWorking; ) {
          const { entries, nextOffset } = await bench.log.readSettled(stream(), group, { fromOffset, maxBytes: 500 })
          for (const { position, batch } of entries) {
            assert.ok(position.offset > last, `${position.offset} after ${last}`)
            last = position.offset + batch.count - 1
          }
          for (const id of idsOf(entries)) assert.ok(settled.has(id), `${id} was read before it was settled`)
          fromOffset = nextOffset ?? last + 1
          if (nextOffset === null) await sleep(1)
        }
      })()
      for (const id of expected) await bench.append('normal', batchOf([id]))
      await consuming
      isWorking = false
      await reading
    },
  )

  story('reading an undeclared topic, partition or group rejects with not_found', async (bench) => {
    const options = { fromOffset: 0, maxBytes: 1000 }
    for (const name of [stream('normal', 2), { ...stream(), topic: 'unknown' }]) {
      await assert.rejects(bench.log.readSettled(name, group, options), isCode('not_found'))
    }
    await assert.rejects(bench.log.readSettled(stream(), 'unknown', options), isCode('not_found'))
  })
}
