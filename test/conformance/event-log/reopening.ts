import assert from 'node:assert/strict'
import type { MillraceError } from '../../../src/errors.ts'
import type { RecordBatch } from '../../../src/event/record-batch.ts'
import { type Backlog, maxReopenedBatches, maxReopenedBytes } from '../../../src/event-log/event-log.ts'
import { within } from '../../support/eventually.ts'
import {
  again,
  batchOf,
  group,
  idsIn,
  idsOf,
  landed,
  ledger,
  ledgerOf,
  named,
  perLane,
  stream,
  take,
  takeAll,
  topic,
} from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

export function reopening(story: Story): void {
  story(
    'reopened batches are delivered to their group only, in their lane, with one more attempt and their old offset',
    async (bench) => {
      await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'second' }] })
      const [first, second] = [await bench.consume(), await bench.consume('second')]
      const { positions } = await bench.append('low', batchOf(named('a', 3)), batchOf(named('b', 1)))
      for (const consumer of [first, second]) await consumer.settle((await takeAll(consumer)).map(landed))
      const batches = [
        { batch: batchOf(['a1', 'a2'], 1_700_000_123_456_789), attempt: 7, offset: 1 },
        { batch: batchOf(['b0']), attempt: 0, offset: 3 },
      ]
      await bench.log.reopen(stream('low'), group, batches)
      assert.deepEqual(await first.next({ maxEvents: { high: 10, normal: 10, low: 0 }, maxWaitMs: 0 }), [])
      const deliveries = await takeAll(first)
      assert.deepEqual(
        deliveries.map((one) => [idsIn(one), one.attempt, one.position]),
        [
          [['a1', 'a2'], 8, { ...positions[0], offset: 1 }],
          [['b0'], 1, { ...positions[1], offset: 3 }],
        ],
      )
      assert.equal(deliveries[0]?.batch.receivedAtMicros, 1_700_000_123_456_789)
      assert.deepEqual(Buffer.from(deliveries[0]!.batch.bytes), Buffer.from(batches[0]!.batch.bytes))
      assert.deepEqual(await takeAll(second), [])
      assert.deepEqual(await ledgerOf(bench.log, 'second'), ledger({ accepted: 4, landed: 4 }))
    },
  )

  story('reopened events are counted as reopened and waiting, then by their outcome', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 5)))
    const [delivery] = await take(consumer)
    await consumer.settle([{ delivery: delivery!, landed: 3, dead: 2 }])
    const reopened = [{ batch: batchOf(['a3', 'a4']), attempt: 1, offset: 3 }]
    await bench.log.reopen(stream(), group, reopened)
    const terms = { accepted: 5, reopened: 2, landed: 3, dead: 2 }
    assert.deepEqual(await ledgerOf(bench.log), ledger({ ...terms, waiting: 2 }))
    const [again] = await take(consumer)
    await consumer.settle([{ delivery: again!, landed: 1, dead: 1 }])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ ...terms, landed: 4, dead: 3 }))
    await bench.log.reopen(stream(), group, reopened)
    await bench.restart()
    const twice = { ...terms, reopened: 4, landed: 4, dead: 3 }
    assert.deepEqual(await ledgerOf(bench.log), ledger({ ...twice, waiting: 2 }))
  })

  story('when a reopen has resolved, its batches survive a crash, with their attempts and offsets', async (bench) => {
    const consumer = await bench.consume()
    const { positions } = await bench.append('high', batchOf(named('a', 2)), batchOf(named('b', 2)))
    await consumer.settle((await takeAll(consumer)).map(landed))
    const batches = [named('a', 2), named('b', 2)].map((ids, index) => ({
      batch: batchOf(ids),
      attempt: 4 + index,
      offset: positions[index]!.offset,
    }))
    await bench.log.reopen(stream('high'), group, batches)
    await bench.crash()
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 4, reopened: 4, landed: 4, waiting: 4 }))
    const next = await bench.consume()
    const deliveries = await takeAll(next)
    assert.deepEqual(
      deliveries.map((one) => [idsIn(one), one.attempt, one.position]),
      [
        [named('a', 2), 5, positions[0]],
        [named('b', 2), 6, positions[1]],
      ],
    )
    await next.settle(deliveries.map(landed))
    await bench.crash()
    assert.deepEqual(await takeAll(await bench.consume()), [])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 4, reopened: 4, landed: 8 }))
  })

  story('a waiting consumer gets a reopened batch', async (bench) => {
    const consumer = await bench.consume()
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 20_000 })
    await bench.log.reopen(stream('low', 1), group, [{ batch: batchOf(['a']), attempt: 1, offset: 0 }])
    assert.deepEqual(idsOf(await within(5_000, 'the delivery', waiting)), ['a'])
  })

  story('reopen is not subject to admission, and reopened events count as waiting', async (bench) => {
    const maxWaiting = { maxEvents: 3, maxBytes: 1e9 }
    await bench.append('normal', batchOf(named('a', 3)))
    await bench.log.reopen(stream(), group, [{ batch: batchOf(named('b', 5)), attempt: 1, offset: 0 }])
    const refused = await bench.log.append(stream(), [batchOf(['c'])], { maxWaiting }).catch((error: unknown) => error)
    assert.ok(isCode('backlogged')(refused))
    assert.equal(((refused as MillraceError).cause as Backlog).waitingEvents, 8)
  })

  story(
    'all reopened batches are delivered, even when settlements write to the same stream at the same time',
    async (bench) => {
      const consumer = await bench.consume()
      const ids = named('a', 20)
      for (const id of ids) await bench.append('normal', batchOf([id]))
      const deliveries = await takeAll(consumer)
      await Promise.all(
        deliveries.flatMap((delivery, index) => [
          bench.log.reopen(stream(), group, [{ batch: batchOf([`r${index}`]), attempt: 1, offset: index }]),
          consumer.settle([again(delivery, 0)]),
        ]),
      )
      await bench.crash()
      const events = { accepted: ids.length, reopened: ids.length }
      assert.deepEqual(await ledgerOf(bench.log), ledger({ ...events, waiting: ids.length * 2 }))
      const all = await takeAll(await bench.consume())
      assert.deepEqual(idsOf(all).sort(), [...ids, ...named('r', 20)].sort())
    },
  )

  story(
    'reopening in an undeclared topic or partition, or for an undeclared group, rejects with not_found',
    async (bench) => {
      const batches = [{ batch: batchOf(['a']), attempt: 1, offset: 0 }]
      for (const name of [stream('normal', 2), { ...stream(), topic: 'unknown' }]) {
        await assert.rejects(bench.log.reopen(name, group, batches), isCode('not_found'))
      }
      await assert.rejects(bench.log.reopen(stream(), 'unknown', batches), isCode('not_found'))
      await bench.log.reopen(stream(), group, [])
      assert.deepEqual(await ledgerOf(bench.log), ledger({}))
    },
  )

  story(
    'a reopen over the limits of one call is refused and reopens nothing; a single large batch is admitted',
    async (bench) => {
      const batch = batchOf(['a'])
      const half = { ...batch, bytes: new Uint8Array(maxReopenedBytes / 2 + 1) }
      const reopen = (batches: readonly RecordBatch[]) =>
        bench.log.reopen(
          stream(),
          group,
          batches.map((each) => ({ batch: each, attempt: 1, offset: 0 })),
        )
      await assert.rejects(reopen(Array(maxReopenedBatches + 1).fill(batch)), isCode('internal'))
      await assert.rejects(reopen([half, half]), isCode('internal'))
      assert.deepEqual(await ledgerOf(bench.log), ledger({}))
      await reopen(Array(maxReopenedBatches).fill(batch))
      await reopen([{ ...batch, bytes: new Uint8Array(maxReopenedBytes + 1) }])
      const events = maxReopenedBatches + 1
      assert.deepEqual(await ledgerOf(bench.log), ledger({ reopened: events, waiting: events }))
    },
  )

  story('reopening a damaged batch rejects with internal, and nothing of the call is reopened', async (bench) => {
    const batches = [batchOf(['a']), { ...batchOf(['b']), damaged: true }]
    await assert.rejects(
      bench.log.reopen(
        stream(),
        group,
        batches.map((batch) => ({ batch, attempt: 1, offset: 0 })),
      ),
      isCode('internal'),
    )
    assert.deepEqual(await ledgerOf(bench.log), ledger({}))
  })
}
