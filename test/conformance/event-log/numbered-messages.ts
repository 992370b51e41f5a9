import assert from 'node:assert/strict'
import type { MillraceError } from '../../../src/errors.ts'
import { maxProducers, producerWindow } from '../../../src/event-log/event-log.ts'
import { batchOf, idsOf, ledger, ledgerOf, named, stream, takeAll } from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

export function numberedMessages(story: Story): void {
  const from = (sequence: number, id = 'producer', epoch = 1) => ({ producer: { id, epoch, sequence } })

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

  story('in a higher epoch the sequences of a producer begin again, also after a crash', async (bench) => {
    const append = (id: string, sequence: number, epoch: number) =>
      bench.log.append(stream(), [batchOf([id])], from(sequence, 'producer', epoch))
    await append('a', 1, 5)
    await append('b', 9000, 5)
    const both = await Promise.all([append('c', 1, 6), append('c', 1, 6)])
    assert.deepEqual(
      both.map(({ duplicate }) => duplicate),
      [false, true],
    )
    await bench.crash()
    assert.equal((await append('c', 1, 6)).duplicate, true)
    assert.equal((await append('d', 2, 6)).duplicate, false)
    assert.deepEqual(idsOf(await takeAll(await bench.consume())), ['a', 'b', 'c', 'd'])
  })

  story('a lower epoch is refused in the streams that know a higher one, which the error names', async (bench) => {
    const isFenced = (error: unknown) =>
      isCode('failed_precondition')(error) && (error as MillraceError).highestProducerEpoch === 1_764_500_000_000
    const old = from(1, 'producer', 4)
    await bench.log.append(stream(), [batchOf(['a'])], old)
    await bench.log.append(stream(), [batchOf(['b'])], from(1, 'producer', 1_764_500_000_000))
    await assert.rejects(bench.log.append(stream(), [batchOf(['c'])], from(2, 'producer', 4)), isFenced)
    await assert.rejects(bench.log.append(stream(), [batchOf(['a'])], old), isFenced)
    await bench.crash()
    await assert.rejects(bench.log.append(stream(), [batchOf(['c'])], from(2, 'producer', 4)), isFenced)
    assert.equal((await bench.log.append(stream('high'), [batchOf(['d'])], old)).duplicate, false)
    assert.equal((await bench.log.append(stream(), [batchOf(['e'])], from(1, 'other', 4))).duplicate, false)
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 4, waiting: 4 }))
  })

  story('a higher epoch whose append is refused leaves the lower one as it was', async (bench) => {
    await bench.log.append(stream(), [batchOf(['a'])], from(1))
    const refused = { ...from(1, 'producer', 2), maxWaiting: { maxEvents: 1, maxBytes: 1e9 } }
    await assert.rejects(bench.log.append(stream(), [batchOf(['b'])], refused), isCode('backlogged'))
    assert.equal((await bench.log.append(stream(), [batchOf(['a'])], from(1))).duplicate, true)
    assert.equal((await bench.log.append(stream(), [batchOf(['b'])], from(2))).duplicate, false)
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
