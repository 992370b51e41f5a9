import assert from 'node:assert/strict'
import { never } from '../../../src/event-log/event-log.ts'
import { within } from '../../support/eventually.ts'
import type { Bench } from '../event-log-bench.ts'
import {
  again,
  batchOf,
  describeGroup,
  group,
  idsIn,
  idsOf,
  landed,
  ledger,
  ledgerOf,
  perLane,
  stream,
  take,
  takeAll,
} from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

export function holding(story: Story): void {
  story('what is never due is held until it is released, also after a crash', async (bench) => {
    await hold(bench, 'a', 'k')
    await bench.crash()
    await bench.under.passTime(365 * 86_400_000)
    const consumer = await bench.consume()
    assert.deepEqual(await takeAll(consumer), [])
    const [found, ...more] = await bench.log.heldKeys(stream(), group)
    assert.deepEqual([found, more], [{ key: 'k', events: 1, attempt: 1, dueAtMs: never }, []])
    const waiting = consumer.next({ maxEvents: perLane(10), maxWaitMs: 20_000 })
    assert.equal(await bench.log.release(stream(), group, 'k', null), true)
    const [delivery] = await within(5000, 'what was released', waiting)
    assert.deepEqual([idsIn(delivery!), delivery!.attempt, delivery!.isKeyed], [['a'], 2, true])
    await consumer.settle([landed(delivery!)])
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1, landed: 1 }))
  })

  story('a release gives the number of attempts, and survives a crash', async (bench) => {
    await hold(bench, 'a', 'k')
    assert.equal(await bench.log.release(stream(), group, 'k', 0), true)
    await bench.crash()
    const [first] = await takeAll(await bench.consume())
    assert.deepEqual([idsIn(first!), first!.attempt], [['a'], 1])
  })

  story('a release makes due what was scheduled, and those behind it stay held', async (bench) => {
    const consumer = await bench.consume()
    for (const id of ['a', 'b']) await bench.append('normal', batchOf([id]))
    const [a, b] = await takeAll(consumer)
    const dueAtMs = bench.under.now() + 60_000
    await consumer.settle([again(a!, dueAtMs, { key: 'k' }), again(b!, 0, { key: 'k' })])
    assert.deepEqual(await countsOf(bench), { waiting: 2, scheduled: 1, held: 1 })
    assert.equal(await bench.log.release(stream(), group, 'k', null), true)
    assert.deepEqual(idsOf(await takeAll(consumer)), ['a'])
    assert.deepEqual(await countsOf(bench), { waiting: 2, scheduled: 0, held: 1 })
    assert.equal(await bench.log.release(stream(), group, 'k', null), false, 'a consumer holds the first one')
    assert.deepEqual(await takeAll(consumer), [])
  })

  story('a release of a key that has no redelivery changes nothing', async (bench) => {
    await hold(bench, 'a', 'k')
    assert.equal(await bench.log.release(stream(), group, 'other', null), false)
    assert.equal(await bench.log.release(stream('high'), group, 'k', null), false)
    assert.deepEqual(await countsOf(bench), { waiting: 1, scheduled: 0, held: 1 })
  })

  story('an unknown topic, partition or group has nothing to release: it rejects with not_found', async (bench) => {
    await assert.rejects(bench.log.release(stream(), 'unknown', 'k', null), isCode('not_found'))
    await assert.rejects(bench.log.release(stream('normal', 7), group, 'k', null), isCode('not_found'))
  })

  story('what has no key cannot be held', async (bench) => {
    const consumer = await bench.consume()
    await bench.append('normal', batchOf(['a']))
    const [delivery] = await take(consumer)
    await assert.rejects(consumer.settle([again(delivery!, never)]), isCode('internal'))
  })
}

/** Appends an event, and holds it under a key after its first attempt. */
async function hold(bench: Bench, id: string, key: string): Promise<void> {
  const consumer = await bench.consume()
  await bench.append('normal', batchOf([id]))
  await consumer.settle((await take(consumer)).map((delivery) => again(delivery, never, { key })))
  await consumer.close()
}

async function countsOf(bench: Bench) {
  const { waiting, scheduled, held } = await describeGroup(bench.log)
  return { waiting, scheduled, held }
}
