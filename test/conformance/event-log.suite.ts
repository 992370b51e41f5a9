// Tests of what every log guarantees: the sentences of src/event-log/event-log.ts. A driver's test file consists of its
// harness and one call of `eventLogSuite`. There are no flags to skip a test.
//
// The suite uses only the contract and the verbs of the harness. After a crash, a driver may redeliver leased entries
// at once, or only when the lease has expired: so the suite lets the lease expire before it reads.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { MillraceError } from '../../src/errors.ts'
import { lanes } from '../../src/event/event.ts'
import type { RecordBatch } from '../../src/event/record-batch.ts'
import {
  type Backlog,
  maxProducers,
  maxReopenedBatches,
  maxReopenedBytes,
  producerWindow,
} from '../../src/event-log/event-log.ts'
import { cleanup } from '../support/cleanup.ts'
import { within } from '../support/eventually.ts'
import { Bench, type EventLogHarness } from './event-log-bench.ts'
import { eventLogModelTest } from './event-log-model.ts'
import {
  again,
  batchOf,
  describeGroup,
  group,
  idsIn,
  idsOf,
  landed,
  leaseMs,
  ledger,
  ledgerOf,
  named,
  perLane,
  readAllSettled,
  stream,
  take,
  takeAll,
  topic,
} from './event-log-verbs.ts'

const isCode = (code: string) => (error: unknown) => error instanceof MillraceError && error.code === code

type Story = (title: string, body: (bench: Bench, t: TestContext) => Promise<void>) => void

export function eventLogSuite(harness: EventLogHarness): void {
  const story: Story = (title, body) =>
    test(`${title} (${harness.driver})`, async (t) => {
      const under = await harness.create()
      cleanup(t, () => under.destroy())
      const bench = new Bench(under, await under.open())
      cleanup(t, () => bench.log.close())
      await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
      await body(bench, t)
    })

  declaring(story)
  appending(story)
  refusing(story)
  numberedMessages(story)
  handingOut(story)
  settling(story)
  givingBack(story)
  reopening(story)
  readingSettled(story)
  describing(story)
  trimming(story)
  pausing(story)
  dropping(story)
  closing(story)
  eventLogModelTest(harness)
}

function declaring(story: Story): void {
  story(
    'declare creates the topic and its groups where they are missing, and both survive a restart',
    async (bench) => {
      await bench.log.declare('audit', { partitions: 3, groups: [{ name: 'a' }, { name: 'b' }] })
      await bench.crash()
      const { topics } = await bench.log.describe()
      assert.deepEqual(
        topics.map(({ name, partitions, groups }) => [name, partitions, groups.map((one) => one.name).sort()]).sort(),
        [
          ['audit', 3, ['a', 'b']],
          [topic, 2, [group]],
        ],
      )
    },
  )

  story('declaring again changes nothing', async (bench) => {
    await bench.append('normal', batchOf(['a']))
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
    await bench.log.declare(topic, { partitions: 2, groups: [] })
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1, waiting: 1 }))
    assert.deepEqual(idsOf(await take(await bench.consume())), ['a'])
  })

  story('partitions may be added, and every group reads the new ones', async (bench) => {
    await bench.log.declare(topic, { partitions: 4, groups: [] })
    await bench.log.append({ topic, partition: 3, lane: 'low' }, [batchOf(['a'])])
    await bench.crash()
    assert.deepEqual(idsOf(await take(await bench.consume())), ['a'])
  })

  story('partitions are never removed', async (bench) => {
    await assert.rejects(bench.log.declare(topic, { partitions: 1, groups: [] }), isCode('failed_precondition'))
    await bench.log.append(stream('normal', 1), [batchOf(['a'])])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1, waiting: 1 }))
  })

  story('a new group starts at the oldest kept entry', async (bench) => {
    const first = await bench.consume()
    await bench.append('normal', batchOf(['gone']))
    for (const delivery of await take(first)) await first.settle([landed(delivery)])
    await bench.log.trim(topic, { keepSinceMs: bench.under.now() + 1e9, maxBytes: 0 })
    await bench.append('normal', batchOf(['kept']))
    await bench.append('high', batchOf(['kept too']))
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'late' }] })
    await bench.append('normal', batchOf(['new']))
    assert.deepEqual(await ledgerOf(bench.log, 'late'), ledger({ accepted: 3, waiting: 3 }))
    const ids = idsOf(await takeAll(await bench.consume('late')))
    assert.deepEqual(ids.sort(), ['kept', 'kept too', 'new'])
  })
}

function appending(story: Story): void {
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

function refusing(story: Story): void {
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

function numberedMessages(story: Story): void {
  const from = (sequence: number, id = 'producer') => ({ producer: { id, sequence } })

  story(
    'a resend of a stored sequence resolves as a duplicate and is not stored again, also after a crash',
    async (bench) => {
      await bench.log.append(stream(), [batchOf(named('a', 2))], from(1))
      const duplicate = { positions: [], duplicate: true }
      assert.deepEqual(await bench.log.append(stream(), [batchOf(named('a', 2))], from(1)), duplicate)
      await bench.crash()
      assert.deepEqual(await bench.log.append(stream(), [batchOf(named('a', 2))], from(1)), duplicate)
      assert.equal((await bench.log.append(stream(), [batchOf(named('b', 1))], from(2))).duplicate, false)
      assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, waiting: 3 }))
    },
  )

  story('a resend that is made before its first copy is acknowledged is not stored either', async (bench) => {
    const sends = await Promise.all(
      [1, 1, 2, 1, 2].map((one) => bench.log.append(stream(), [batchOf([`${one}`])], from(one))),
    )
    assert.deepEqual(
      sends.map(({ duplicate }) => duplicate),
      [false, true, false, true, true],
    )
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), ['1', '2'])
  })

  story('sequences are remembered for each pair of producer and stream, in any order', async (bench) => {
    for (const sequence of [5, 3, 4]) {
      assert.equal((await bench.log.append(stream(), [batchOf([`${sequence}`])], from(sequence))).duplicate, false)
    }
    assert.equal((await bench.log.append(stream(), [batchOf(['x'])], from(4))).duplicate, true)
    assert.equal((await bench.log.append(stream(), [batchOf(['x'])], from(4, 'other'))).duplicate, false)
    assert.equal((await bench.log.append(stream('high'), [batchOf(['x'])], from(4))).duplicate, false)
    assert.equal((await bench.log.append(stream('normal', 1), [batchOf(['x'])], from(4))).duplicate, false)
  })

  story('a sequence older than the producer window is refused as out_of_range and not written', async (bench) => {
    await bench.log.append(stream(), [batchOf(['new'])], from(producerWindow + 1))
    await assert.rejects(bench.log.append(stream(), [batchOf(['old'])], from(1)), isCode('out_of_range'))
    assert.equal((await bench.log.append(stream(), [batchOf(['edge'])], from(2))).duplicate, false)
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 2, waiting: 2 }))
  })

  story('a refused append is not remembered: when it is sent again, it is appended', async (bench) => {
    const options = { ...from(1), maxWaiting: { maxEvents: 1, maxBytes: 1e9 } }
    await bench.append('normal', batchOf(['a']))
    await assert.rejects(bench.log.append(stream(), [batchOf(['b'])], options), isCode('backlogged'))
    assert.equal((await bench.log.append(stream(), [batchOf(['b'])], from(1))).duplicate, false)
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), ['a', 'b'])
  })

  story('when there are too many producers, the least recently used is forgotten', async (bench) => {
    const send = (id: string, sequence = 1) => bench.log.append(stream(), [batchOf(['x'])], from(sequence, id))
    await send('first')
    await send('second')
    await Promise.all(named('p', maxProducers - 2).map((id) => send(id)))
    await send('first', 2)
    await send('one too many')
    assert.equal((await send('first', 2)).duplicate, true)
    assert.equal((await send('one too many')).duplicate, true)
    assert.equal((await send('second')).duplicate, false, 'it was the least recently used')
    await bench.crash()
    assert.equal((await send('first', 2)).duplicate, true)
    assert.equal((await send('second')).duplicate, true)
  })
}

function handingOut(story: Story): void {
  story('joining an undeclared topic or group rejects with not_found', async (bench) => {
    await assert.rejects(bench.log.consume(topic, 'unknown', { leaseMs }), isCode('not_found'))
    await assert.rejects(bench.log.consume('unknown', group, { leaseMs }), isCode('not_found'))
  })

  story('next hands out entries that no member holds, oldest first in each lane', async (bench) => {
    for (const id of ['a', 'b', 'c']) {
      await bench.append('normal', batchOf([`n${id}`]))
      await bench.append('low', batchOf([`l${id}`]))
    }
    const deliveries = await takeAll(await bench.consume())
    const ids = idsOf(deliveries)
    for (const lane of ['n', 'l']) {
      assert.deepEqual(
        ids.filter((id) => id.startsWith(lane)),
        [`${lane}a`, `${lane}b`, `${lane}c`],
      )
    }
    assert.ok(deliveries.every(({ attempt }) => attempt === 1))
    assert.equal(new Set(deliveries.map(({ id }) => id)).size, deliveries.length)
  })

  story('next resolves with an empty list when no entry arrived within maxWaitMs', async (bench) => {
    const consumer = await bench.consume()
    assert.deepEqual(await take(consumer), [])
    const startedAt = performance.now()
    assert.deepEqual(await consumer.next({ maxEvents: perLane(10), maxWaitMs: 100 }), [])
    assert.ok(performance.now() - startedAt >= 95)
  })

  story('a waiting consumer gets an entry as soon as it is durable', async (bench) => {
    const consumer = await bench.consume()
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 20_000 })
    await bench.append('normal', batchOf(['a']))
    assert.deepEqual(idsOf(await within(5_000, 'the delivery', waiting)), ['a'])
  })

  story('maxEvents of 0 excludes a lane', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('low', batchOf(['low']))
    await bench.append('high', batchOf(['high']))
    const some = await consumer.next({ maxEvents: { high: 0, normal: 10, low: 10 }, maxWaitMs: 0 })
    assert.deepEqual(idsOf(some), ['low'])
    assert.deepEqual(await consumer.next({ maxEvents: { high: 0, normal: 10, low: 10 }, maxWaitMs: 50 }), [])
    assert.deepEqual(idsOf(await take(consumer)), ['high'])
  })

  story(
    'entries are not split: the first entry of a lane is handed out even when it has more than maxEvents',
    async (bench) => {
      const consumer = await bench.consume()
      await bench.append('normal', batchOf(named('a', 1000)))
      await bench.append('normal', batchOf(named('b', 1000)))
      await bench.append('low', batchOf(named('c', 1000)))
      const ids = idsOf(await take(consumer, 3))
      assert.deepEqual(
        ids.filter((id) => id.startsWith('a')),
        named('a', 1000),
      )
      assert.deepEqual(
        ids.filter((id) => !id.startsWith('a')),
        named('c', 1000),
      )
      assert.deepEqual(idsOf(await take(consumer, 1001)), named('b', 1000))
    },
  )

  story('beyond the first entry of a lane, no more than maxEvents are handed out', async (bench) => {
    const consumer = await bench.consume()
    for (const name of ['a', 'b', 'c', 'd']) await bench.append('normal', batchOf(named(name, 600)))
    assert.equal(idsOf(await take(consumer, 1300)).length, 1200)
    assert.equal(idsOf(await take(consumer, 1200)).length, 1200)
  })

  story('members of a group compete: an entry is leased to at most one of them', async (bench) => {
    const consumers = await Promise.all([bench.consume(), bench.consume(), bench.consume()])
    const expected = named('e', 300)
    const waiting = consumers.map((consumer) => consumer.next({ maxEvents: perLane(40), maxWaitMs: 300 }))
    await Promise.all(expected.map((id) => bench.log.append(stream(lanes[id.length % 3]!), [batchOf([id])])))
    const got = idsOf((await Promise.all(waiting)).flat())
    for (const consumer of consumers) got.push(...idsOf(await takeAll(consumer)))
    assert.deepEqual(got.sort(), expected.sort())
  })

  story('groups do not take entries from one another', async (bench) => {
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'second' }] })
    await bench.append('normal', batchOf(named('a', 3)))
    const first = await bench.consume()
    await first.settle((await take(first)).map(landed))
    assert.deepEqual(idsOf(await take(await bench.consume('second'))), named('a', 3))
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, landed: 3 }))
    assert.deepEqual(await ledgerOf(bench.log, 'second'), ledger({ accepted: 3, waiting: 3, inFlight: 3 }))
  })

  story(
    'the attempt is recorded before the delivery is handed out: a holder that dies has used it up',
    async (bench) => {
      await bench.append('normal', batchOf(['a']))
      for (const attempt of [1, 2, 3]) {
        const [delivery, ...more] = await take(await bench.consume())
        assert.equal(delivery?.attempt, attempt)
        assert.deepEqual(more, [])
        await bench.crash()
      }
    },
  )

  story('an aborted next resolves with an empty list, and nothing is handed out', async (bench) => {
    const consumer = await bench.consume()
    const stop = new AbortController()
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 20_000, signal: stop.signal })
    stop.abort()
    assert.deepEqual(await within(5_000, 'the answer', waiting), [])
    // Also when the abort comes while an entry is being handed out: at different moments of that call.
    for (let round = 0; round < 20; round++) {
      const stopThis = new AbortController()
      const late = consumer.next({ maxEvents: perLane(10), maxWaitMs: 20_000, signal: stopThis.signal })
      const append = bench.append('normal', batchOf([`r${round}`]))
      await sleep(round % 4)
      stopThis.abort()
      const got = await late
      await append
      const rest = got.length > 0 ? [] : await consumer.next({ maxEvents: perLane(10), maxWaitMs: 5_000 })
      assert.deepEqual(idsOf([...got, ...rest]), [`r${round}`])
      assert.equal([...got, ...rest][0]?.attempt, 1)
      await consumer.settle([...got, ...rest].map(landed))
    }
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 20, landed: 20 }))
  })

  story('after a crash every unsettled event is handed out, and no settled one, in order', async (bench) => {
    const consumer = await bench.consume()
    for (let index = 0; index < 30; index++) await bench.append('normal', batchOf(named(`${index}.`, 40)))
    const deliveries = await takeAll(consumer)
    const settled = deliveries.filter((_, index) => index % 3 === 1)
    await consumer.settle(settled.map(landed))
    const expected = idsOf(deliveries.filter((delivery) => !settled.includes(delivery)))
    await bench.crash()
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), expected)
  })
}

function settling(story: Story): void {
  story('settled events are never redelivered, and each one is counted with its outcome', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 5)))
    const [delivery] = await take(consumer)
    assert.deepEqual(await consumer.settle([{ delivery: delivery!, landed: 3, dead: 2 }]), [])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 5, landed: 3, dead: 2 }))
    await bench.crash()
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 5, landed: 3, dead: 2 }))
    assert.deepEqual(await take(await bench.consume()), [])
  })

  story('events in `again` are redelivered when they are due, in their lane, with one more attempt', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('low', batchOf(named('a', 3)))
    const [delivery] = await take(consumer)
    const dueAtMs = bench.under.now() + 60_000
    const retry = batchOf(['a1'])
    await consumer.settle([{ delivery: delivery!, landed: 2, dead: 0, again: [{ batch: retry, attempt: 1, dueAtMs }] }])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, waiting: 1, landed: 2 }))
    assert.deepEqual(await take(consumer), [])
    await bench.under.passTime(60_001)
    assert.deepEqual(await consumer.next({ maxEvents: { high: 10, normal: 10, low: 0 }, maxWaitMs: 0 }), [])
    const [second] = await take(consumer)
    assert.deepEqual(idsIn(second!), ['a1'])
    assert.equal(second!.attempt, 2)
    assert.equal(second!.position.stream.lane, 'low')
    await consumer.settle([landed(second!)])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, landed: 3 }))
  })

  story('a waiting consumer gets a redelivery when it is due, without a new call', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a']))
    const [delivery] = await take(consumer)
    await consumer.settle([again(delivery!, bench.under.now() + 150)])
    const deliveries = await within(10_000, 'the retry', consumer.next({ maxEvents: perLane(10), maxWaitMs: 9_000 }))
    assert.deepEqual(idsOf(deliveries), ['a'])
    assert.equal(deliveries[0]?.attempt, 2)
  })

  story('a pending redelivery survives a crash, with its attempt and its due time', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['soon']))
    await bench.append('high', batchOf(['late']))
    const deliveries = await takeAll(consumer)
    const dueAtMs = (id: string) => bench.under.now() + (id === 'soon' ? 0 : 3 * leaseMs)
    await consumer.settle(deliveries.map((one) => again(one, dueAtMs(idsIn(one)[0]!), { attempt: 3 })))
    await bench.crash()
    const second = await bench.consume()
    const [soon, ...more] = await take(second)
    assert.deepEqual([idsIn(soon!), soon!.attempt, more], [['soon'], 4, []])
    await bench.crash()
    const third = await bench.consume()
    assert.deepEqual(
      (await take(third)).map((one) => [idsIn(one), one.attempt]),
      [[['soon'], 5]],
    )
    await bench.under.passTime(3 * leaseMs)
    assert.deepEqual(
      (await take(third)).map((one) => [idsIn(one), one.attempt]),
      [[['late'], 4]],
    )
  })

  story('events in `again` are redelivered to their group only', async (bench) => {
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'second' }] })
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a']))
    const [delivery] = await take(consumer)
    await consumer.settle([again(delivery!, 0)])
    const second = await bench.consume('second')
    assert.deepEqual(idsOf(await takeAll(second)), ['a'])
    assert.deepEqual(await ledgerOf(bench.log, 'second'), ledger({ accepted: 1, waiting: 1, inFlight: 1 }))
    assert.deepEqual(idsOf(await takeAll(consumer)), ['a'])
  })

  story('a settlement is durable, and complete, when its promise has resolved', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 4)))
    const [delivery] = await take(consumer)
    const retry = { batch: batchOf(['a3']), attempt: 1, dueAtMs: 0 }
    await consumer.settle([{ delivery: delivery!, landed: 2, dead: 1, again: [retry] }])
    await bench.crash()
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 4, waiting: 1, landed: 2, dead: 1 }))
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), ['a3'])
  })

  story('a delivery that the consumer does not hold is refused, and changes nothing', async (bench) => {
    const [first, second] = [await bench.consume(), await bench.consume()]
    await bench.append('normal', batchOf(named('a', 1000)))
    await bench.append('normal', batchOf(named('b', 1000)))
    const [a] = await take(first, 1000)
    const [b] = await take(second, 1000)
    assert.deepEqual(await first.settle([landed(b!)]), [b], 'held by another member')
    assert.deepEqual(await first.settle([landed(a!), landed(a!)]), [a], 'named twice')
    assert.deepEqual(await first.settle([landed(a!)]), [a], 'settled before')
    assert.deepEqual(await first.settle([landed(b!)]), [b])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 2000, waiting: 1000, landed: 1000, inFlight: 1000 }))
    assert.deepEqual(await second.settle([landed(b!)]), [])
  })

  story('a settlement is refused when the entry has been handed out to another member', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a']))
    const [old] = await take(consumer)
    await bench.crash()
    const next = await bench.consume()
    const [delivery] = await take(next)
    assert.notEqual(delivery?.id, old?.id)
    assert.deepEqual(await next.settle([landed(old!)]), [old])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1, waiting: 1, inFlight: 1 }))
    assert.deepEqual(await next.settle([landed(delivery!)]), [])
  })

  story('an outcome that does not add up rejects with internal, and nothing of the call is settled', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 900)))
    await bench.append('normal', batchOf(named('b', 900)))
    const [a, b] = await takeAll(consumer)
    const wrong = [
      { delivery: b!, landed: 899, dead: 0 },
      { delivery: b!, landed: 901, dead: 0 },
      { delivery: b!, landed: 901, dead: -1 },
      { delivery: b!, landed: 900, dead: 0, again: [{ batch: batchOf(['b0']), attempt: 1, dueAtMs: 0 }] },
    ]
    for (const outcome of wrong) {
      await assert.rejects(consumer.settle([landed(a!), outcome]), isCode('internal'))
    }
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1800, waiting: 1800, inFlight: 1800 }))
    assert.deepEqual(await consumer.settle([landed(a!), landed(b!)]), [])
  })
}

function givingBack(story: Story): void {
  story(
    'close returns unfinished deliveries to the group at once, with the attempt count they had before',
    async (bench) => {
      const first = await bench.consume()
      await bench.append('normal', batchOf(['a']))
      await bench.append('low', batchOf(['b']))
      const [a] = await take(first)
      await first.settle([again(a!, 0)])
      await takeAll(first)
      const other = await bench.consume()
      assert.deepEqual(await take(other), [])
      await first.close()
      await first.close()
      const deliveries = await takeAll(other)
      assert.deepEqual(deliveries.map((one) => [idsIn(one)[0], one.attempt]).sort(), [
        ['a', 2],
        ['b', 1],
      ])
    },
  )

  story('a returned entry keeps its attempt count after a crash', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a']))
    await take(consumer)
    await consumer.close()
    await bench.crash()
    const [delivery] = await take(await bench.consume())
    assert.equal(delivery?.attempt, 1)
    await bench.crash()
    const [second] = await take(await bench.consume())
    assert.equal(second?.attempt, 2)
  })

  story('a returned entry is handed out before newer ones', async (bench) => {
    const [first, second] = [await bench.consume(), await bench.consume()]
    for (const name of ['a', 'b', 'c']) await bench.append('normal', batchOf(named(name, 1000)))
    assert.deepEqual(idsOf(await take(first, 1)), named('a', 1000))
    assert.deepEqual(idsOf(await take(second, 1)), named('b', 1000))
    await first.close()
    assert.deepEqual(idsOf(await takeAll(second)), [...named('a', 1000), ...named('c', 1000)])
  })

  story('a waiting consumer gets an entry that another member returns', async (bench) => {
    const [first, second] = [await bench.consume(), await bench.consume()]
    await bench.append('normal', batchOf(['a']))
    await take(first)
    const waiting = second.next({ maxEvents: perLane(10), maxWaitMs: 20_000 })
    await first.close()
    assert.deepEqual(idsOf(await within(5_000, 'the delivery', waiting)), ['a'])
  })

  story('a consumer that is closed while it waits gets an empty list, and cannot settle any more', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('high', batchOf(['a']))
    const [delivery] = await take(consumer)
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 20_000 })
    await bench.append('normal', batchOf(['b']))
    await consumer.close()
    const late = await within(5_000, 'the answer', waiting)
    assert.deepEqual(await consumer.settle([landed(delivery!)]), [delivery])
    assert.deepEqual(await consumer.settle(late.map(landed)), late)
    const rest = await takeAll(await bench.consume())
    assert.deepEqual(
      rest.map((one) => [idsIn(one)[0], one.attempt]),
      [
        ['a', 1],
        ['b', 1],
      ],
    )
  })
}

function reopening(story: Story): void {
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

function readingSettled(story: Story): void {
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

function describing(story: Story): void {
  story('the terms of the ledger add up in every state, and the audit agrees', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(named('a', 700)))
    await bench.append('low', batchOf(named('b', 600)))
    await bench.log.append(stream('high', 1), [batchOf(named('c', 500))])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1800, waiting: 1800 }))
    const deliveries = await takeAll(consumer)
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1800, waiting: 1800, inFlight: 1800 }))
    const [first, second, third] = deliveries
    await consumer.settle([landed(second!)])
    await consumer.settle([again(third!, bench.under.now() + 1e6)])
    const left = first!.batch.count + third!.batch.count
    const terms = { accepted: 1800, waiting: left, landed: second!.batch.count }
    assert.deepEqual(await ledgerOf(bench.log), ledger({ ...terms, inFlight: first!.batch.count }))
    await bench.restart()
    assert.deepEqual(await ledgerOf(bench.log), ledger(terms))
  })

  story('a description has the time when the oldest waiting event was received', async (bench) => {
    const consumer = await bench.consume()
    assert.equal((await describeGroup(bench.log)).oldestWaitingMicros, null)
    await bench.append('normal', batchOf(['a'], 1_700_000_000_000_000))
    await bench.append('high', batchOf(['b'], 1_700_000_005_000_000))
    assert.equal((await describeGroup(bench.log)).oldestWaitingMicros, 1_700_000_000_000_000)
    const deliveries = await takeAll(consumer)
    assert.equal((await describeGroup(bench.log)).oldestWaitingMicros, 1_700_000_000_000_000)
    await consumer.settle(deliveries.filter((one) => idsIn(one)[0] === 'a').map(landed))
    assert.equal((await describeGroup(bench.log)).oldestWaitingMicros, 1_700_000_005_000_000)
    await consumer.settle(deliveries.filter((one) => idsIn(one)[0] === 'b').map(landed))
    assert.equal((await describeGroup(bench.log)).oldestWaitingMicros, null)
  })

  story("a description has the end of each partition's streams", async (bench) => {
    await bench.append('normal', batchOf(named('a', 3)))
    await bench.log.append(stream('high', 1), [batchOf(named('b', 2))])
    await bench.crash()
    const { topics } = await bench.log.describe()
    assert.deepEqual(
      topics[0]!.streams.map(({ partition, lane, nextOffset }) => [partition, lane, nextOffset]).toSorted(),
      [
        [0, 'high', 0],
        [0, 'low', 0],
        [0, 'normal', 3],
        [1, 'high', 2],
        [1, 'low', 0],
        [1, 'normal', 0],
      ],
    )
    await bench.log.declare('idle', { partitions: 2, groups: [] })
    assert.deepEqual((await bench.log.describe()).topics.find(({ name }) => name === 'idle')?.streams, [])
  })

  story('a description has the bytes that the log occupies, and their limit', async (bench) => {
    const before = await bench.log.describe()
    await bench.append('normal', batchOf(named('x'.repeat(1000), 2000)))
    const { usedBytes, limitBytes } = await bench.log.describe()

    assert.ok(before.usedBytes !== null && before.usedBytes > 0)
    assert.ok(usedBytes! - before.usedBytes >= 1_000_000, `2 MB of events took ${usedBytes! - before.usedBytes} bytes`)
    assert.equal(limitBytes, null)
  })

  story('a description is read from durable state: it includes an append that has resolved', async (bench) => {
    const append = bench.append('normal', batchOf(named('a', 10)))
    const during = await ledgerOf(bench.log)
    await append
    assert.ok([0, 10].includes(during.waiting))
    assert.equal(during.accepted, during.waiting)
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 10, waiting: 10 }))
  })
}

function trimming(story: Story): void {
  const everything = { keepSinceMs: Number.MAX_SAFE_INTEGER / 1e6, maxBytes: 0 }

  story('trim removes entries that every group has settled, and no others', async (bench) => {
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'slow' }] })
    const [fast, slow] = [await bench.consume(), await bench.consume('slow')]
    for (const name of ['a', 'b', 'c']) await bench.append('normal', batchOf(named(name, 1000)))
    await fast.settle((await takeAll(fast)).map(landed))
    assert.deepEqual(await bench.log.trim(topic, everything), { entries: 0, events: 0, bytes: 0 })
    const [, b] = await takeAll(slow)
    await slow.settle([landed(b!)])
    assert.equal((await bench.log.trim(topic, everything)).events, 0, 'an older entry is not settled')
    await bench.crash()
    const again = await bench.consume('slow')
    const deliveries = await takeAll(again)
    assert.deepEqual(idsOf(deliveries), [...named('a', 1000), ...named('c', 1000)])
    await again.settle([landed(deliveries[0]!)])
    assert.equal((await bench.log.trim(topic, everything)).events, 2000)
    await bench.crash()
    assert.deepEqual(idsOf(await takeAll(await bench.consume('slow'))), named('c', 1000))
    assert.deepEqual(
      await ledgerOf(bench.log, 'slow'),
      ledger({ accepted: 3000, waiting: 1000, landed: 2000, inFlight: 1000 }),
    )
  })

  story('trim keeps settled entries that were received at keepSinceMs or later', async (bench) => {
    const consumer = await bench.consume()
    const receivedAtMs = 1_700_000_000_000
    for (let index = 0; index < 4; index++) {
      await bench.append('normal', batchOf(named(`${index}.`, 900), (receivedAtMs + index * 1000) * 1000))
    }
    await consumer.settle((await takeAll(consumer)).map(landed))
    const policy = { keepSinceMs: receivedAtMs + 2000, maxBytes: Number.MAX_SAFE_INTEGER }
    assert.deepEqual((await bench.log.trim(topic, policy)).events, 1800)
    assert.deepEqual((await bench.log.trim(topic, policy)).events, 0)
  })

  story('trim keeps at most maxBytes of settled entries in each stream', async (bench) => {
    const consumer = await bench.consume()
    for (const lane of ['high', 'low'] as const) {
      for (let index = 0; index < 4; index++) await bench.append(lane, batchOf(named('e', 900)))
    }
    await consumer.settle((await takeAll(consumer)).map(landed))
    const { length } = batchOf(named('e', 900)).bytes
    const trimmed = await bench.log.trim(topic, { keepSinceMs: 0, maxBytes: length * 2.5 })
    assert.deepEqual([trimmed.events, trimmed.bytes], [4 * 900, 4 * length])
  })

  story('a topic without groups is not trimmed', async (bench) => {
    await bench.log.declare('archive', { partitions: 1, groups: [] })
    await bench.log.append({ topic: 'archive', partition: 0, lane: 'normal' }, [batchOf(['a'])])
    assert.deepEqual(await bench.log.trim('archive', everything), { entries: 0, events: 0, bytes: 0 })
    await bench.log.declare('archive', { partitions: 1, groups: [{ name: group }] })
    const consumer = await bench.log.consume('archive', group, { leaseMs })
    assert.deepEqual(idsOf(await takeAll(consumer)), ['a'])
  })

  story('trimming an undeclared topic rejects with not_found', async (bench) => {
    await assert.rejects(bench.log.trim('unknown', everything), isCode('not_found'))
  })

  story('appending, handing out and settling continue during trimming', async (bench) => {
    const consumer = await bench.consume()
    const expected = named('e', 400)
    const got: string[] = []
    let isAppending = true
    const trims = (async () => {
      while (isAppending) {
        await bench.log.trim(topic, everything)
        await sleep(1)
      }
    })()
    const consuming = (async () => {
      while (got.length < expected.length) {
        const deliveries = await consumer.next({ maxEvents: perLane(50), maxWaitMs: 5_000 })
        got.push(...idsOf(deliveries))
        await consumer.settle(deliveries.map(landed))
      }
    })()
    for (const id of expected) await bench.append('normal', batchOf([id]))
    isAppending = false
    await Promise.all([trims, consuming])
    assert.deepEqual(got, expected)
    await bench.log.trim(topic, everything)
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 400, landed: 400 }))
  })
}

function pausing(story: Story): void {
  const reason = 'the table is being moved'

  story('nothing is handed out to a paused group, and it resumes where it was', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a']))
    const [held] = await take(consumer)
    await consumer.settle([again(held!, bench.under.now() - 1)])
    await bench.append('high', batchOf(['b']))
    await bench.log.append(stream('low', 1), [batchOf(['c'])])
    await bench.log.setPaused(topic, group, reason)
    assert.deepEqual(await takeAll(consumer), [])
    assert.deepEqual(await takeAll(await bench.consume()), [], 'a member that joins later gets nothing either')
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, waiting: 3 }))
    await bench.log.setPaused(topic, group, null)
    const deliveries = await takeAll(consumer)
    assert.deepEqual(idsOf(deliveries).sort(), ['a', 'b', 'c'])
    assert.equal(deliveries.find((delivery) => idsIn(delivery)[0] === 'a')?.attempt, 2)
  })

  story('a pending next of a paused group gets entries as soon as the group is resumed', async (bench) => {
    const consumer = await bench.consume()
    await bench.log.setPaused(topic, group, reason)
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 60_000 })
    await bench.append('normal', batchOf(['a']))
    let isAnswered = false
    void waiting.then(() => {
      isAnswered = true
    })
    // Long enough for several polls.
    await sleep(150)
    assert.equal(isAnswered, false, 'it was handed out while the group was paused')
    await bench.log.setPaused(topic, group, null)
    assert.deepEqual(idsOf(await within(5000, 'the first delivery', waiting)), ['a'])
  })

  story('next of a paused group resolves with an empty list after maxWaitMs', async (bench) => {
    await bench.append('normal', batchOf(['a']))
    await bench.log.setPaused(topic, group, reason)
    const consumer = await bench.consume()
    assert.deepEqual(await within(5000, 'the answer', consumer.next({ maxEvents: perLane(10), maxWaitMs: 30 })), [])
  })

  story('leased deliveries can be settled and returned while the group is paused', async (bench) => {
    const [first, second] = [await bench.consume(), await bench.consume()]
    for (const id of ['a', 'b']) await bench.append('normal', batchOf([id]))
    const [a] = await take(first, 1)
    const [b] = await take(second, 1)
    await bench.log.setPaused(topic, group, reason)
    assert.deepEqual(await first.settle([landed(a!)]), [])
    await second.close()
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 2, waiting: 1, landed: 1 }))
    assert.deepEqual(await takeAll(first), [])
    await bench.log.setPaused(topic, group, null)
    const [back] = await take(first)
    assert.deepEqual([idsIn(back!), back!.attempt], [idsIn(b!), 1])
  })

  story('a pause survives a crash, with its reason, and so does a resumption', async (bench) => {
    await bench.append('normal', batchOf(['a']))
    assert.equal((await describeGroup(bench.log)).paused, null)
    await bench.log.setPaused(topic, group, 'first')
    await bench.log.setPaused(topic, group, reason)
    await bench.crash()
    assert.equal((await describeGroup(bench.log)).paused, reason)
    assert.deepEqual(await takeAll(await bench.consume()), [])
    await bench.log.setPaused(topic, group, '')
    await bench.restart()
    assert.equal((await describeGroup(bench.log)).paused, '')
    assert.deepEqual(await takeAll(await bench.consume()), [])
    await bench.log.setPaused(topic, group, null)
    await bench.log.setPaused(topic, group, null)
    await bench.crash()
    assert.equal((await describeGroup(bench.log)).paused, null)
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), ['a'])
  })

  story('partitions that are added to a topic are paused for its paused groups', async (bench) => {
    await bench.log.setPaused(topic, group, reason)
    await bench.log.declare(topic, { partitions: 3, groups: [{ name: group }] })
    await bench.log.append(stream('normal', 2), [batchOf(['a'])])
    assert.deepEqual(await takeAll(await bench.consume()), [])
    assert.equal((await describeGroup(bench.log)).paused, reason)
  })

  story('a pause does not affect the other groups of the topic', async (bench) => {
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: 'other' }] })
    await bench.log.setPaused(topic, group, reason)
    await bench.append('normal', batchOf(['a']))
    assert.deepEqual(idsOf(await takeAll(await bench.consume('other'))), ['a'])
    assert.equal((await describeGroup(bench.log, 'other')).paused, null)
  })

  story('appends are admitted up to the limit while the group is paused', async (bench) => {
    const maxWaiting = { maxEvents: 2, maxBytes: 1e9 }
    await bench.log.setPaused(topic, group, reason)
    await bench.log.append(stream(), [batchOf(named('a', 2))], { maxWaiting })
    await assert.rejects(bench.log.append(stream(), [batchOf(['b'])], { maxWaiting }), isCode('backlogged'))
  })

  story('pausing a group of an undeclared topic, or an undeclared group, rejects with not_found', async (bench) => {
    await assert.rejects(bench.log.setPaused(topic, 'unknown', reason), isCode('not_found'))
    await assert.rejects(bench.log.setPaused('unknown', group, null), isCode('not_found'))
  })
}

function dropping(story: Story): void {
  const maxWaiting = { maxEvents: 5, maxBytes: 1e9 }
  const declareOther = (bench: Bench) => bench.log.declare(topic, { partitions: 2, groups: [{ name: 'other' }] })

  story(
    'a dropped group no longer limits appends, and dropGroup resolves with the number of its waiting events',
    async (bench) => {
      await declareOther(bench)
      const other = await bench.consume('other')
      await bench.append('normal', batchOf(named('a', 4)))
      await bench.log.append(stream('low', 1), [batchOf(named('b', 3))])
      for (const delivery of await takeAll(other)) await other.settle([landed(delivery)])
      await assert.rejects(bench.log.append(stream(), [batchOf(named('c', 2))], { maxWaiting }), isCode('backlogged'))
      assert.equal(await bench.log.dropGroup(topic, group), 7)
      await bench.log.append(stream(), [batchOf(named('c', 2))], { maxWaiting })
      const { topics } = await bench.log.describe()
      assert.deepEqual(
        topics.flatMap(({ groups }) => groups.map(({ name }) => name)),
        ['other'],
      )
      assert.deepEqual(await ledgerOf(bench.log, 'other'), ledger({ accepted: 9, waiting: 2, landed: 7 }))
    },
  )

  story('a group stays dropped after a crash, and its own stream is gone', async (bench) => {
    await declareOther(bench)
    const consumer = await bench.consume()
    for (const id of ['a', 'b', 'c']) await bench.append('normal', batchOf([id]))
    const [a, b] = await take(consumer, 3)
    await consumer.settle([again(a!, bench.under.now() - 1), again(b!, bench.under.now() + leaseMs)])
    await bench.log.reopen(stream(), group, [{ batch: batchOf(['a']), attempt: 1, offset: 0 }])
    await bench.log.setPaused(topic, group, 'long forgotten')
    assert.equal(await bench.log.dropGroup(topic, group), 4)
    for (const round of ['at once', 'after a crash']) {
      await assert.rejects(bench.log.dropGroup(topic, group), isCode('not_found'), round)
      await assert.rejects(bench.consume(), isCode('not_found'), round)
      await assert.rejects(bench.log.reopen(stream(), group, []), isCode('not_found'), round)
      assert.deepEqual(await ledgerOf(bench.log, 'other'), ledger({ accepted: 3, waiting: 3 }), round)
      await bench.crash()
    }
    assert.deepEqual(idsOf(await takeAll(await bench.consume('other'))), ['a', 'b', 'c'])
  })

  story('a dropped group that is declared again is a new group and starts at the oldest kept entry', async (bench) => {
    const consumer = await bench.consume()
    for (const id of ['a', 'b']) await bench.append('normal', batchOf([id]))
    const [a, b] = await take(consumer)
    await consumer.settle([landed(a!), again(b!, bench.under.now() - 1)])
    await bench.log.setPaused(topic, group, 'long forgotten')
    await bench.log.dropGroup(topic, group)
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
    for (const round of ['at once', 'after a crash']) {
      assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 2, waiting: 2 }), round)
      assert.equal((await describeGroup(bench.log)).paused, null, round)
      const deliveries = await takeAll(await bench.consume())
      assert.deepEqual(idsOf(deliveries), ['a', 'b'], round)
      await bench.crash()
    }
    await bench.log.dropGroup(topic, group)
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
    await bench.append('normal', batchOf(['c']))
    const joined = await bench.consume()
    for (const delivery of await takeAll(joined)) await joined.settle([landed(delivery)])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 3, landed: 3 }))
  })

  story('a group that is declared again after a drop and a crash has no state of the dropped one', async (bench) => {
    const consumer = await bench.consume()
    for (const id of ['a', 'b', 'c', 'd']) await bench.append('normal', batchOf([id]))
    const [, b, c] = await take(consumer, 3)
    await consumer.settle([landed(b!), again(c!, bench.under.now() - 1)])
    const other = await bench.consume()
    assert.deepEqual(idsOf(await takeAll(other)).sort(), ['c', 'd'])
    await other.close()
    await bench.log.setPaused(topic, group, 'long forgotten')
    await bench.log.dropGroup(topic, group)
    await bench.crash()
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
    const joined = await bench.consume()
    const [first, ...others] = await takeAll(joined)
    assert.deepEqual([idsIn(first!), first!.attempt], [['a'], 1])
    assert.deepEqual(
      [idsOf(others), others.map(({ attempt }) => attempt)],
      [
        ['b', 'c', 'd'],
        [1, 1, 1],
      ],
    )
    await joined.settle([again(first!, bench.under.now() - 1), ...others.map(landed)])
    await bench.crash()
    const last = await bench.consume()
    const back = await takeAll(last)
    assert.deepEqual([idsOf(back), back[0]?.attempt], [['a'], 2])
    await last.settle(back.map(landed))
    await bench.crash()
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 4, landed: 4 }))
    assert.deepEqual(await takeAll(await bench.consume()), [])
  })

  story('next (also a pending call) and settle of a dropped group reject with not_found', async (bench) => {
    await declareOther(bench)
    const [holder, waiter] = [await bench.consume(), await bench.consume()]
    await bench.append('normal', batchOf(['a']))
    const [a] = await take(holder)
    const waiting = waiter.next({ maxEvents: perLane(10), maxWaitMs: 60_000 })
    const told = assert.rejects(within(5000, 'the refusal', waiting), isCode('not_found'))
    assert.equal(await bench.log.dropGroup(topic, group), 1)
    await told
    await assert.rejects(take(holder), isCode('not_found'))
    await assert.rejects(holder.settle([landed(a!)]), isCode('not_found'))
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
    await holder.settle([landed(a!)]).catch(() => {})
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1, waiting: 1 }))
    await Promise.all([holder.close(), waiter.close()])
    assert.deepEqual(await ledgerOf(bench.log, 'other'), ledger({ accepted: 1, waiting: 1 }))
  })

  story('entries that only a dropped group had not settled can be trimmed', async (bench) => {
    await declareOther(bench)
    const other = await bench.consume('other')
    await bench.append('normal', batchOf(named('a', 3)))
    for (const delivery of await takeAll(other)) await other.settle([landed(delivery)])
    const forgetAll = { keepSinceMs: bench.under.now() + 1e9, maxBytes: 0 }
    assert.equal((await bench.log.trim(topic, forgetAll)).events, 0)
    await bench.log.dropGroup(topic, group)
    assert.equal((await bench.log.trim(topic, forgetAll)).events, 3)
  })

  story(
    'a group with many leased and many pending entries can be dropped during appends and settlements',
    async (bench) => {
      await declareOther(bench)
      const [consumer, other] = [await bench.consume(), await bench.consume('other')]
      const ids = named('a', 2500)
      for (let from = 0; from < ids.length; from += 500) {
        await bench.append('normal', ...ids.slice(from, from + 500).map((id) => batchOf([id])))
      }
      for (const id of ['c', 'd', 'e', 'f']) await bench.log.append(stream('low', 1), [batchOf([id])])
      const held = await take(consumer, 2000)
      const [c, d, e] = held.filter(({ position }) => position.stream.lane === 'low')
      await consumer.settle([again(d!, bench.under.now() + leaseMs)])
      const appending = Promise.all(named('b', 20).map((id) => bench.append('high', batchOf([id]))))
      const settling = Promise.allSettled([
        consumer.settle([landed(e!)]),
        bench.log.reopen(stream(), group, [{ batch: batchOf(['g']), attempt: 1, offset: 0 }]),
      ])
      const dropped = await bench.log.dropGroup(topic, group)
      await Promise.all([appending, settling])
      assert.ok(dropped >= 2503 && dropped <= 2525, `${dropped} events were waiting`)
      await assert.rejects(consumer.settle([landed(c!)]), isCode('not_found'))
      for (let more = await take(other); more.length > 0; more = await take(other)) await other.settle(more.map(landed))
      assert.deepEqual(await ledgerOf(bench.log, 'other'), ledger({ accepted: 2524, landed: 2524 }))
      await bench.crash()
      assert.deepEqual(await ledgerOf(bench.log, 'other'), ledger({ accepted: 2524, landed: 2524 }))
    },
  )

  story(
    'when several callers drop one group at the same time, the drop is complete for all when one call resolves',
    async (bench) => {
      await bench.append('normal', batchOf(['a']))
      const results = await Promise.allSettled([1, 2, 3].map(() => bench.log.dropGroup(topic, group)))
      const answers = results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason.code))
      assert.ok(answers.includes(1), answers.join())
      assert.ok(
        answers.every((answer) => [0, 1, 'not_found'].includes(answer)),
        answers.join(),
      )
      await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
      assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1, waiting: 1 }))
    },
  )

  story('dropping an undeclared group, or a group of an undeclared topic, rejects with not_found', async (bench) => {
    await assert.rejects(bench.log.dropGroup(topic, 'unknown'), isCode('not_found'))
    await assert.rejects(bench.log.dropGroup('unknown', group), isCode('not_found'))
  })
}

function closing(story: Story): void {
  story('close finishes the calls in progress and returns leased deliveries to their groups', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['held']))
    await take(consumer)
    const appends = named('a', 50).map((id) => bench.append('low', batchOf([id])))
    const closed = bench.log.close()
    assert.equal((await Promise.all(appends)).length, 50)
    await Promise.all([closed, bench.log.close()])
    await bench.restart()
    const deliveries = await takeAll(await bench.consume())
    assert.deepEqual(idsOf(deliveries).sort(), ['held', ...named('a', 50)].sort())
    assert.ok(deliveries.every(({ attempt }) => attempt === 1))
  })

  story('close waits for reopens in progress', async (bench) => {
    const reopened = bench.log.reopen(stream(), group, [{ batch: batchOf(['a']), attempt: 0, offset: 0 }])
    await bench.restart()
    await within(5_000, 'the answer', reopened)
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), ['a'])
  })

  story('a closed log refuses every call', async (bench) => {
    const consumer = await bench.consume()
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 20_000 })
    await bench.log.close()
    assert.deepEqual(await within(5_000, 'the answer', waiting), [])
    await assert.rejects(bench.append('normal', batchOf(['a'])), isCode('unavailable'))
    await assert.rejects(bench.log.reopen(stream(), group, []), isCode('unavailable'))
    const reading = bench.log.readSettled(stream(), group, { fromOffset: 0, maxBytes: 1 })
    await assert.rejects(reading, isCode('unavailable'))
    await assert.rejects(bench.log.describe(), isCode('unavailable'))
    await assert.rejects(bench.consume(), isCode('unavailable'))
    await assert.rejects(bench.log.trim(topic, { keepSinceMs: 0, maxBytes: 0 }), isCode('unavailable'))
    await assert.rejects(bench.log.declare('x', { partitions: 1, groups: [] }), isCode('unavailable'))
  })

  story('failed stays pending while the log works, also when it is closed', async (bench) => {
    let failure: Error | null = null
    void bench.log.failed.then((error) => {
      failure = error
    })
    await bench.append('normal', batchOf(['a']))
    await takeAll(await bench.consume())
    await bench.log.close()
    await sleep(50)
    assert.equal(failure, null)
  })
}
