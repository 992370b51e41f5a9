import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { MillraceError } from '../../../src/errors.ts'
import type { GroupLimits, Permits } from '../../../src/event-log/event-log.ts'
import { eventually } from '../../support/eventually.ts'
import type { Bench } from '../event-log-bench.ts'
import { group, topic } from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

const leaseMs = 3000

function join({ log }: Bench, limits: GroupLimits): Promise<Permits> {
  return log.permits(topic, group, limits, { leaseMs })
}

async function takenOf(permits: Permits, most: number, least?: number): Promise<number> {
  return (await permits.take(most, least)).taken
}

export function permitting(story: Story): void {
  story('never more permits are out than groupConcurrency, and what is given back can be taken', async (bench) => {
    const [first, second] = [await join(bench, { groupConcurrency: 3 }), await join(bench, { groupConcurrency: 3 })]
    assert.equal(await takenOf(first, 2), 2)
    assert.deepEqual(
      [await second.take(2), await takenOf(second, 2)],
      [{ taken: 1, full: { limit: 'groupConcurrency', used: 2 }, retryAfterMs: 50 }, 1],
    )
    assert.equal(first.begin(2), true)
    assert.equal(await takenOf(first, 2), 0, 'what is at work keeps its permits')
    first.end(1)
    assert.equal(await takenOf(first, 2), 1)
    assert.equal(await takenOf(second, 5), 1)
    await first.take(0)
    assert.equal(await takenOf(second, 5), 2, 'what has not begun is given back')
    await second.close()
    assert.equal(await takenOf(first, 5), 2)
  })

  story('work begins only with permits in hand, which a call of take gives back', async (bench) => {
    const permits = await join(bench, { groupConcurrency: 3 })
    assert.equal(permits.begin(1), false)
    await permits.take(3)
    assert.deepEqual(
      [permits.begin(4), permits.begin(2), permits.begin(2), permits.begin(1)],
      [false, true, false, true],
    )
    permits.end(3)
    await permits.take(3)
    await permits.take(1)
    assert.equal(permits.begin(2), false)
  })

  story('none are taken where fewer are free than the least', async (bench) => {
    const [first, second] = [await join(bench, { groupConcurrency: 3 }), await join(bench, { groupConcurrency: 3 })]
    await first.take(2)
    assert.equal(await takenOf(second, 3, 2), 0)
    await first.take(1)
    assert.equal(await takenOf(second, 3, 2), 2)
  })

  story('what is at work when permits are closed keeps its permits', async (bench) => {
    const [first, second] = [await join(bench, { groupConcurrency: 3 }), await join(bench, { groupConcurrency: 3 })]
    await first.take(3)
    first.begin(1)
    await first.close()
    await first.close()
    assert.equal(await takenOf(second, 3), 2)
    await assert.rejects(first.take(1), isCode('failed_precondition'))
  })

  story('the permits of a process that has died come back', async (bench) => {
    const dead = await bench.log.permits(topic, group, { groupConcurrency: 3 }, { leaseMs: 300 })
    await dead.take(3)
    dead.begin(3)
    await bench.crash()
    const permits = await join(bench, { groupConcurrency: 3 })
    await eventually(async () => assert.equal(await takenOf(permits, 3), 3))
  })

  story('what is refused for a second gets its share, and gives the others theirs', async (bench) => {
    const limits = { groupConcurrency: 3 }
    const [first, ...others] = [await join(bench, limits), await join(bench, limits), await join(bench, limits)]
    let own = await takenOf(first!, 3)
    first!.begin(own)
    const served = new Set<Permits>()
    const endsAt = performance.now() + 5000
    while (served.size < 2 && own > 0 && performance.now() < endsAt) {
      // What ends is followed by other work at once.
      first!.end(1)
      const again = await takenOf(first!, 1)
      first!.begin(again)
      own += again - 1
      for (const other of others) {
        const { taken } = await other.take(10)
        if (taken > 0) served.add(other)
        other.begin(taken)
      }
      await sleep(10)
    }
    assert.deepEqual([served.size, own], [2, 1])
  })

  story('never do more events begin within a second than ratePerSecond, in whichever process', async (bench) => {
    const ratePerSecond = 40
    const all = await Promise.all([1, 2, 3].map(() => join(bench, { ratePerSecond })))
    const begun: number[] = []
    const endsAt = performance.now() + 3500
    await Promise.all(
      all.map(async (permits, index) => {
        while (performance.now() < endsAt) {
          const { taken, retryAfterMs } = await permits.take(5 + index * 10)
          // Permits are used a while after they were taken, and not all of them.
          await sleep(taken === 0 ? Math.min(20, retryAfterMs) : 10 * index)
          const used = Math.max(taken - index, Math.min(taken, 1))
          if (used === 0 || !permits.begin(used)) continue
          for (let one = 0; one < used; one++) begun.push(performance.now())
          permits.end(used)
        }
      }),
    )
    begun.sort((a, b) => a - b)
    for (const [at, from] of begun.entries()) {
      const within = begun.slice(at).filter((ms) => ms < from + 1000).length
      assert.ok(within <= ratePerSecond, `${within} events began within a second`)
    }
    assert.ok(begun.length >= 3 * ratePerSecond, `${begun.length} events began in 3.5 s`)
  })

  story('a permit with which nothing has begun does not count in the rate', async (bench) => {
    const [first, second] = [await join(bench, { ratePerSecond: 5 }), await join(bench, { ratePerSecond: 5 })]
    assert.equal(await takenOf(first, 10), 5)
    assert.deepEqual((await second.take(1)).full, { limit: 'ratePerSecond', used: 5 })
    first.begin(2)
    first.end(2)
    await first.take(0)
    const { taken, full, retryAfterMs } = await second.take(10)
    assert.deepEqual([taken, full], [3, { limit: 'ratePerSecond', used: 2 }])
    assert.ok(retryAfterMs > 0 && retryAfterMs <= 1100, `${retryAfterMs} ms`)
  })

  story('both limits hold together', async (bench) => {
    const permits = await join(bench, { groupConcurrency: 3, ratePerSecond: 4 })
    assert.equal(await takenOf(permits, 10), 3)
    permits.begin(3)
    permits.end(3)
    assert.deepEqual(await takenOf(permits, 10), 1)
  })

  story('other limits than those of the others are refused, with the name of the limit', async (bench) => {
    const first = await join(bench, { groupConcurrency: 3, ratePerSecond: 5 })
    const isRefused = (field: string) => (error: unknown) =>
      error instanceof MillraceError && error.code === 'failed_precondition' && error.field === field
    await assert.rejects(join(bench, { groupConcurrency: 4, ratePerSecond: 5 }), isRefused('groupConcurrency'))
    await assert.rejects(join(bench, { groupConcurrency: 3 }), isRefused('ratePerSecond'))
    await assert.rejects(
      join(bench, { groupConcurrency: 3, ratePerSecond: 5, limitPerKey: 1 }),
      isRefused('limitPerKey'),
    )
    await assert.rejects(join(bench, {}), isRefused('groupConcurrency'))
    await first.close()
    const unlimited = await join(bench, {})
    assert.equal(await takenOf(unlimited, 7), 7)
    await assert.rejects(join(bench, { groupConcurrency: 4 }), isRefused('groupConcurrency'))
    await unlimited.close()
    await join(bench, { groupConcurrency: 4 })
  })

  story('the permits of an unknown group, and of one that was dropped, reject with not_found', async (bench) => {
    const limits = { groupConcurrency: 3 }
    await assert.rejects(bench.log.permits(topic, 'unknown', limits, { leaseMs }), isCode('not_found'))
    await assert.rejects(bench.log.permits('unknown', group, limits, { leaseMs }), isCode('not_found'))
    const permits = await join(bench, limits)
    await permits.take(3)
    await bench.log.dropGroup(topic, group)
    await assert.rejects(permits.take(1), isCode('not_found'))
    await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
    assert.equal(await takenOf(await join(bench, { groupConcurrency: 2 }), 3), 2)
  })
}
