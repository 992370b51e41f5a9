// The Produce call: numbered messages, cumulative acknowledgements, and resends.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { backends } from '../support/backend.ts'
import { newId, order, orders } from '../support/events.ts'
import { eventually, within } from '../support/eventually.ts'
import { grpcClient, type OpenProduce, type ProduceFields, type RawGrpcClient } from '../support/grpc-client.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { drained } from '../support/tally.ts'

const invalidArgument = 3

/** Sends the messages in one call and waits until all are acknowledged. */
async function produceAll(grpc: RawGrpcClient, messages: readonly ProduceFields[]): Promise<OpenProduce> {
  const produce = grpc.produce()
  for (const message of messages) await produce.send(message)
  const last = messages.at(-1)?.sequence ?? 0
  await eventually(() => assert.equal(Number(produce.responses.at(-1)?.ackedThrough ?? 0), last))
  produce.call.end()
  assert.equal((await within(5000, 'the end of the call', produce.ended)).code, 0)
  return produce
}

async function accepted(server: ServerProcess): Promise<number | null | undefined> {
  return (await drained(server)).find(({ topic }) => topic === 'events')?.accepted
}

function rejectionsOf({ responses }: OpenProduce): [number, number, string][] {
  return responses.flatMap(({ rejections }) =>
    rejections.map(({ sequence, index, code }): [number, number, string] => [Number(sequence), Number(index), code]),
  )
}

for (const backend of backends('embedded', 'redis', 'cluster'))
  test(`a Produce call acknowledges in order, and a resend is acknowledged without being stored again (${backend.name})`, async (t: TestContext) => {
    const home = await backend.home(t)
    const server = await startServer(t, { ...home, topics: ['wide:4'] })
    const grpc = grpcClient(t, server)
    const producerId = newId()
    const messages = [1, 2, 3, 4, 5].map((sequence) => ({ producerId, sequence, events: orders(10) }))
    const bad = { producerId, sequence: 6, events: [order(1), { type: '' }, order(2)] }

    await t.test('acknowledgements only increase, and rejections name message and index', async () => {
      const produce = await produceAll(grpc, [...messages, bad])
      const acks = produce.responses.map(({ ackedThrough }) => Number(ackedThrough))
      assert.deepEqual(
        acks,
        acks.toSorted((a, b) => a - b),
      )
      assert.deepEqual(rejectionsOf(produce), [[6, 1, 'invalid_event']])
      assert.equal(await accepted(server), 52)
    })

    await t.test(
      'a second call that starts at any earlier message adds nothing, and repeats the same rejections',
      async () => {
        const produce = await produceAll(grpc, [...messages.slice(2), bad])
        assert.deepEqual(rejectionsOf(produce), [[6, 1, 'invalid_event']])
        assert.equal(await accepted(server), 52)
      },
    )

    await t.test('also after the server was killed, and then the call continues with the next number', async () => {
      await server.crash()
      await server.start()
      const again = grpcClient(t, server)
      const next = { producerId, sequence: 7, events: orders(3) }
      await produceAll(again, [...messages.slice(3), bad, next])
      assert.equal(await accepted(server), 55)
      assert.equal(await home.countRows(), 55)
    })

    await t.test('another producer with the same numbers is independent', async () => {
      const other = newId()
      await produceAll(grpcClient(t, server), [{ producerId: other, sequence: 1, events: orders(5) }])
      assert.equal(await accepted(server), 60)
    })

    await t.test('a message that is split over partitions and lanes is recognised as a whole', async () => {
      const client = grpcClient(t, server)
      const events = orders(40).map((event, index) => ({ ...event, key: `k${index}`, priority: (index % 3) + 1 }))
      const spread = { producerId: newId(), sequence: 1, topic: 'wide', events: events as never }
      await produceAll(client, [spread])
      await produceAll(client, [spread])
      const wide = (await drained(server)).find(({ topic }) => topic === 'wide')
      assert.deepEqual([wide?.accepted, wide?.landed], [40, 40])
    })

    for (const [what, wrong] of Object.entries({
      'a call without a producer id': [{ sequence: 1 }],
      'a sequence of 0': [{ producerId, sequence: 0 }],
      'a gap in the sequence': [
        { producerId, sequence: 100 },
        { producerId, sequence: 102 },
      ],
      'the same sequence twice in a call': [
        { producerId, sequence: 100 },
        { producerId, sequence: 100 },
      ],
      'another producer id in the middle': [
        { producerId, sequence: 200 },
        { producerId: 'other', sequence: 201 },
      ],
      'a producer id of 256 bytes': [{ producerId: 'p'.repeat(256), sequence: 1 }],
    })) {
      await t.test(`${what} ends the call as INVALID_ARGUMENT, naming the field`, async (s) => {
        const produce = grpcClient(s, server).produce()
        for (const message of wrong) await produce.send({ ...message, events: [order(1)] })
        const { code, details } = await within(5000, 'the end of the call', produce.ended)
        assert.equal(code, invalidArgument, details)
        assert.match(details, /producer_id|sequence/)
      })
    }
  })
