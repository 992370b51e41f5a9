import assert from 'node:assert/strict'
import { MillraceError } from '../../../src/errors.ts'
import type { Backlog } from '../../../src/event-log/event-log.ts'
import {
  batchOf,
  group,
  idsOf,
  landed,
  ledger,
  ledgerOf,
  named,
  stream,
  take,
  takeAll,
  topic,
} from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

export function refusing(story: Story): void {
  const maxWaiting = { maxEvents: 5, maxBytes: 1e9 }

  story('an append over the limit is refused as backlogged, names the group, and writes nothing', async (bench) => {
    await bench.append('normal', batchOf(named('a', 3)))
    const refused = await bench.log
      .append(stream(), [batchOf(named('b', 1)), batchOf(named('c', 2))], { maxWaiting })
      .catch((error: unknown) => error)
    assert.ok(refused instanceof MillraceError)
    assert.equal(refused.code, 'backlogged')
    assert.equal(refused.retryable, true)
    const { waitingBytes, ...backlog } = refused.cause as Backlog
    assert.deepEqual(backlog, { group, waitingEvents: 3, settledEvents: 0 })
    assert.equal(waitingBytes, batchOf(named('a', 3)).bytes.length)
    await bench.crash()
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), named('a', 3))
  })

  story(
    'the limit counts the waiting events of all lanes of a partition together, and of no other partition',
    async (bench) => {
      await bench.append('low', batchOf(named('a', 2)))
      await bench.append('high', batchOf(named('b', 2)))
      await assert.rejects(bench.log.append(stream(), [batchOf(named('c', 2))], { maxWaiting }), isCode('backlogged'))
      await bench.log.append(stream('normal', 1), [batchOf(named('c', 5))], { maxWaiting })
      await bench.log.append(stream(), [batchOf(['d'])], { maxWaiting })
    },
  )

  story('the limit on bytes works like the limit on events', async (bench) => {
    const batch = batchOf(named('a', 2))
    const limit = { maxEvents: 100, maxBytes: batch.bytes.length * 2 }
    await bench.log.append(stream(), [batch], { maxWaiting: limit })
    await bench.log.append(stream('low'), [batch], { maxWaiting: limit })
    await assert.rejects(bench.log.append(stream(), [batch], { maxWaiting: limit }), isCode('backlogged'))
  })

  story('where nothing waits, an append of any size is admitted', async (bench) => {
    await bench.log.append(stream(), [batchOf(named('a', 9))], { maxWaiting })
    await assert.rejects(bench.log.append(stream(), [batchOf(['b'])], { maxWaiting }), isCode('backlogged'))
  })

  story('overlapping appends are counted together', async (bench) => {
    const calls = named('a', 12).map((id) => bench.log.append(stream(), [batchOf([id])], { maxWaiting }))
    const results = await Promise.allSettled(calls)
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 5)
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 5, waiting: 5 }))
  })

  story('leased events count as waiting, settled events do not', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 5)))
    const deliveries = await take(consumer)
    await assert.rejects(bench.log.append(stream(), [batchOf(['b'])], { maxWaiting }), isCode('backlogged'))
    await consumer.settle(deliveries.map(landed))
    await bench.log.append(stream(), [batchOf(named('c', 5))], { maxWaiting })
    const refused = await bench.log.append(stream(), [batchOf(['d'])], { maxWaiting }).catch((error: unknown) => error)
    assert.equal(((refused as MillraceError).cause as Backlog).settledEvents, 5)
  })

  story('one group over the limit is enough to refuse an append', async (bench) => {
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'slow' }] })
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 5)))
    await consumer.settle((await take(consumer)).map(landed))
    const refused = await bench.log.append(stream(), [batchOf(['b'])], { maxWaiting }).catch((error: unknown) => error)
    assert.equal(((refused as MillraceError).cause as Backlog).group, 'slow')
  })

  story('the waiting counts are exact after a crash', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 2)))
    await bench.append('low', batchOf(named('b', 3)))
    const [delivery] = await take(consumer)
    await consumer.settle([landed(delivery!)])
    await bench.crash()
    await bench.log.append(stream(), [batchOf(named('c', 2))], { maxWaiting })
    await assert.rejects(bench.log.append(stream(), [batchOf(['d'])], { maxWaiting }), isCode('backlogged'))
  })

  story('an append without a limit is admitted beside those that are refused for theirs', async (bench) => {
    await bench.append('normal', batchOf(named('a', 5)))
    const free: string[] = []
    for (let round = 0; round < 20; round++) {
      const refused = bench.log.append(stream(), [batchOf(['b'])], { maxWaiting })
      const id = `c${round}`
      const admitted = bench.log.append(stream(), [batchOf([id])])
      await Promise.all([assert.rejects(refused, isCode('backlogged')), admitted])
      free.push(id)
    }
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), [...named('a', 5), ...free])
  })

  story(
    'after a refused append, later appends to its stream are refused if its caller could not yet know of the refusal',
    async (bench) => {
      await bench.append('normal', batchOf(named('a', 4)))
      const large = bench.log.append(stream(), [batchOf(named('b', 2))], { maxWaiting })
      const small = bench.log.append(stream(), [batchOf(['c'])], { maxWaiting })
      const elsewhere = bench.log.append(stream('high'), [batchOf(['d'])], { maxWaiting })
      const results = await Promise.allSettled([large, small, elsewhere])
      assert.deepEqual(
        results.map(({ status }) => status),
        ['rejected', 'rejected', 'fulfilled'],
      )
      assert.ok(isCode('backlogged')((results[1] as PromiseRejectedResult).reason))
      // Once the caller knows of the refusal, its appends are admitted again.
      await bench.log.append(stream(), [batchOf(['b0'])])
      await bench.log.append(stream(), [batchOf(['c'])])
      assert.deepEqual(
        idsOf(await takeAll(await bench.consume())).filter((id) => id !== 'd'),
        [...named('a', 4), 'b0', 'c'],
      )
    },
  )
}
