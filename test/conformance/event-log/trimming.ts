import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  batchOf,
  group,
  idsOf,
  landed,
  leaseMs,
  ledger,
  ledgerOf,
  named,
  perLane,
  takeAll,
  topic,
} from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

export function trimming(story: Story): void {
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
