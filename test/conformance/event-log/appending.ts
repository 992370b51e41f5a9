import assert from 'node:assert/strict'
import { lanes } from '../../../src/event/event.ts'
import { batchOf, idsIn, idsOf, ledger, ledgerOf, named, stream, take, takeAll } from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

export function appending(story: Story): void {
  story(
    'an append resolves with a position for each batch, in the same order, and offsets count events',
    async (bench) => {
      const first = await bench.append('normal', batchOf(named('a', 3)), batchOf(named('b', 2)))
      const second = await bench.append('normal', batchOf(named('c', 4)))
      const other = await bench.append('high', batchOf(named('d', 1)))
      assert.equal(first.duplicate, false)
      assert.deepEqual(
        [first, second, other].map(({ positions }) => positions.map(({ offset }) => offset)),
        [[0, 3], [5], [0]],
      )
      assert.deepEqual([first.positions[1]?.stream, other.positions[0]?.stream], [stream('normal'), stream('high')])
      const { epoch } = await bench.log.describe()
      assert.equal(first.positions[0]?.epoch, epoch)
    },
  )

  story('when an append has resolved, its batches survive a crash', async (bench) => {
    await bench.append('normal', batchOf(named('a', 3)), batchOf(named('b', 2)))
    await bench.log.append(stream('low', 1), [batchOf(named('c', 1))])
    await bench.crash()
    const ids = idsOf(await takeAll(await bench.consume()))
    assert.deepEqual(ids.sort(), ['a0', 'a1', 'a2', 'b0', 'b1', 'c0'])
    const { positions } = await bench.append('normal', batchOf(['d']))
    assert.equal(positions[0]?.offset, 5, 'offsets continue where they were')
  })

  story(
    'the bytes, the time of receipt and the position of an appended batch are read back unchanged',
    async (bench) => {
      const batch = batchOf(named('a', 3), 1_700_000_123_456_789)
      const { positions } = await bench.append('low', batch)
      for (const round of ['from memory', 'after a crash']) {
        const [delivery] = await take(await bench.consume())
        assert.deepEqual(Buffer.from(delivery!.batch.bytes), Buffer.from(batch.bytes), round)
        assert.equal(delivery!.batch.count, 3)
        assert.equal(delivery!.batch.receivedAtMicros, 1_700_000_123_456_789)
        assert.equal(delivery!.batch.damaged ?? false, false)
        assert.deepEqual(delivery!.position, positions[0])
        await bench.crash()
      }
    },
  )

  story('appends take effect in the order of the calls, and are read in that order', async (bench) => {
    const calls = Array.from({ length: 200 }, (_, index) =>
      bench.append('normal', batchOf(named(`${index}.`, 1 + (index % 3)))),
    )
    const offsets = (await Promise.all(calls)).map(({ positions }) => positions[0]!.offset)
    assert.deepEqual(
      offsets,
      [...offsets].sort((a, b) => a - b),
    )
    const expected = Array.from({ length: 200 }, (_, index) => named(`${index}.`, 1 + (index % 3))).flat()
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), expected)
    await bench.crash()
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), expected)
  })

  story('appends may overlap, in one stream and in several', async (bench) => {
    const sent = await Promise.all(
      Array.from({ length: 120 }, async (_, index) => {
        const name = stream(lanes[index % 3]!, index % 2)
        const { positions } = await bench.log.append(name, [batchOf([`${index}`])])
        return { name, offset: positions[0]!.offset }
      }),
    )
    for (const lane of lanes) {
      for (const partition of [0, 1]) {
        const offsets = sent.filter(({ name }) => name.lane === lane && name.partition === partition)
        assert.deepEqual(
          offsets.map(({ offset }) => offset),
          named('', 20).map(Number),
        )
      }
    }
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 120, waiting: 120 }))
  })

  story('a batch of the maximum size is stored whole', async (bench) => {
    const bytes = new Uint8Array(1024 * 1024).fill(7)
    await bench.append('normal', { bytes, count: 1, receivedAtMicros: 1 }, batchOf(['small']))
    await bench.crash()
    const deliveries = await takeAll(await bench.consume())
    assert.deepEqual(
      deliveries.map(({ batch }) => batch.count),
      [1, 1],
    )
    assert.deepEqual(Buffer.from(deliveries[0]!.batch.bytes), Buffer.from(bytes))
    assert.deepEqual(idsIn(deliveries[1]!), ['small'])
  })

  story(
    'an aborted append rejects with cancelled, and either all its batches are in the log or none is',
    async (bench) => {
      const before = new AbortController()
      before.abort()
      await assert.rejects(
        bench.log.append(stream(), [batchOf(['never'])], { signal: before.signal }),
        isCode('cancelled'),
      )
      const during = new AbortController()
      const append = bench.log.append(stream(), [batchOf(named('a', 2)), batchOf(named('b', 2))], {
        signal: during.signal,
      })
      during.abort()
      await assert.rejects(append, isCode('cancelled'))
      await bench.append('normal', batchOf(['c']))
      const ids = idsOf(await takeAll(await bench.consume()))
      assert.ok(['c', 'a0,a1,b0,b1,c'].includes(ids.join(',')), ids.join(','))
    },
  )

  story('an append to an undeclared topic or partition rejects with not_found', async (bench) => {
    const batches = [batchOf(['a'])]
    for (const name of [stream('normal', 2), { ...stream(), topic: 'unknown' }, stream('normal', -1)]) {
      await assert.rejects(bench.log.append(name, batches), isCode('not_found'))
    }
    assert.deepEqual(await ledgerOf(bench.log), ledger({}))
  })
}
