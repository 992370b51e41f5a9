import assert from 'node:assert/strict'
import { batchOf, group, idsOf, landed, ledger, ledgerOf, stream, take, takeAll, topic } from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

export function declaring(story: Story): void {
  story(
    'declare creates the topic and its groups where they are missing, and both survive a restart',
    async (bench) => {
      await bench.log.declare('audit', { partitions: 3, groups: [{ name: 'a' }, { name: 'b' }] })
      await bench.crash()
      assert.deepEqual([...(await bench.log.topics())].sort(), ['audit', topic])
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
