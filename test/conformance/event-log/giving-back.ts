import assert from 'node:assert/strict'
import { within } from '../../support/eventually.ts'
import { again, batchOf, idsIn, idsOf, landed, named, perLane, take, takeAll } from '../event-log-verbs.ts'
import type { Story } from './story.ts'

export function givingBack(story: Story): void {
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
