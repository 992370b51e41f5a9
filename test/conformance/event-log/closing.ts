import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { within } from '../../support/eventually.ts'
import { batchOf, group, idsOf, named, perLane, stream, take, takeAll, topic } from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

export function closing(story: Story): void {
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
    await assert.rejects(bench.log.topics(), isCode('unavailable'))
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
