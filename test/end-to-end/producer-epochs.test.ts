// A producer that starts again under its name: what it is told, and what is in the table.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Publisher, type PublisherClocks } from '../../src/client/publisher.ts'
import { ServerConnection } from '../../src/client/server-connection.ts'
import { backends } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { eventually, within } from '../support/eventually.ts'
import { grpcClient, type ProduceFields } from '../support/grpc-client.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { drained } from '../support/tally.ts'

const [invalidArgument, failedPrecondition] = [3, 9]
const hourMs = 3_600_000

/** Sends one message and resolves with the status of its call, 0 once it is acknowledged. */
async function statusOf(t: TestContext, server: ServerProcess, message: ProduceFields) {
  const produce = grpcClient(t, server).produce()
  await produce.send({ sequence: 1, ...message })
  produce.call.end()
  const { code, details } = await within(5000, 'the end of the call', produce.ended)
  return [code, details] as const
}

function publisherAt(t: TestContext, server: ServerProcess, producerId: string, now: PublisherClocks['now']) {
  const connection = new ServerConnection({ addresses: () => [server.grpc], connectTimeoutMs: 5000 })
  cleanup(t, () => connection.close())
  return new Publisher(connection, { producerId }, { now, monotonicNow: () => performance.now(), random: Math.random })
}

function publish(publisher: Publisher, type: string): Promise<void> {
  publisher.add({ type })
  return publisher.flush()
}

for (const backend of backends('embedded', 'redis'))
  test(`a producer that starts again under its name loses nothing (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startServer(t, home)
    const accepted = async () => (await drained(server)).find(({ topic }) => topic === 'events')?.accepted

    await t.test('without an epoch it is refused, and the field is named', async (s) => {
      const [code, details] = await statusOf(s, server, { producerId: 'p', producerEpoch: 0, events: orders(5) })
      assert.equal(code, invalidArgument)
      assert.match(details, /^producer_epoch is missing: set it in the first message of a call/)
    })

    await t.test('with a higher epoch it counts from 1 again, and everything lands', async (s) => {
      for (const producerEpoch of [7, 8, 1_796_000_000_000])
        assert.deepEqual(await statusOf(s, server, { producerId: 'p', producerEpoch, events: orders(5) }), [0, 'OK'])
      assert.equal(await accepted(), 15)
      assert.equal(await home.countRows(), 15)
    })

    await t.test('with a lower epoch it is told the highest, also after the server was killed', async (s) => {
      await server.crash()
      await server.start()
      const lower = { producerId: 'p', producerEpoch: 1_795_999_999_999, sequence: 2, events: orders(5) }
      const [code, details] = await statusOf(s, server, lower)
      assert.equal(code, failedPrecondition)
      assert.match(details, /^producer "p" has been started again with producer_epoch 1796000000000, so 1795999999999 /)
      assert.equal(await accepted(), 15)
    })

    await t.test('a publisher whose clock is an hour back at its restart raises its epoch', async (s) => {
      await publish(publisherAt(s, server, 'clock', Date.now), 'before')
      await publish(
        publisherAt(s, server, 'clock', () => Date.now() - hourMs),
        'after',
      )
      assert.equal(await accepted(), 17)
    })

    await t.test(
      'of two publishers with one name the one that started last goes on, and the other is told why',
      async (s) => {
        const first = publisherAt(s, server, 'twice', Date.now)
        await publish(first, 'first')
        const second = publisherAt(s, server, 'twice', () => Date.now() + 1)
        await publish(second, 'second')
        const late = publish(first, 'too late')
        await assert.rejects(late, (failure: Error) => {
          assert.match(failure.message, /^producer "twice" has been started again with producer_epoch \d+/)
          return true
        })
        await publish(second, 'third')
        assert.equal(first.totals.unknown, 1)
        await eventually(async () => assert.equal(await accepted(), 20))
        assert.equal(await home.countRows(), 20)
      },
    )
  })
