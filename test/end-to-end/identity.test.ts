import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backends } from '../support/backend.ts'
import { newId, order, type TestEvent } from '../support/events.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { metricsOf } from '../support/http-client.ts'
import { uuidV5 } from '../support/identity.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { drained, landingLedger } from '../support/tally.ts'

for (const backend of backends('embedded', 'redis'))
  test(`which events are the same, and which are different (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, home)
    const grpc = grpcClient(t, server)
    const publish = async (...events: TestEvent[]): Promise<void> => {
      const { accepted } = await grpc.publish({ events })
      assert.equal(accepted, BigInt(events.length))
    }

    await t.test('an event that is resent, in the same call and in later ones, has one row', async () => {
      const event = order(1)
      await publish(event, event)
      await publish(event)
      const ledger = await drained(server)
      assert.equal((await home.rows()).length, 1)
      assert.deepEqual([ledger[0]?.accepted, ledger[0]?.landed, ledger[0]?.balanced], [3, 3, true])
    })

    await t.test(
      'different content under the same source and id: the first stays, and a conflict is counted and named in the log',
      async () => {
        const id = newId()
        await publish(order(1, { id, type: 'first', data: Buffer.from('1') }))
        await drained(server)
        await publish(order(2, { id, type: 'second', data: Buffer.from('2') }))
        await drained(server)
        const rows = await home.query(`SELECT type, data FROM landed WHERE type IN ('first', 'second')`)
        assert.deepEqual(
          rows.map((row) => [row.type, row.data]),
          [['first', '1']],
        )
        const metrics = await metricsOf(server)
        assert.match(metrics, /^millrace_landing_conflicts_total 1$/m)
        const lines = server.logLines().filter(({ message }) => String(message).startsWith('events dropped'))
        assert.deepEqual(
          lines.map(({ level, topic, conflicts, events }) => [level, topic, conflicts, events]),
          [['warn', 'events', 1, [{ source: '/shop', id }]]],
        )
      },
    )

    await t.test('UUIDs are compared without case, all other ids with case', async () => {
      const id = newId()
      await publish(order(1, { id, source: '/case' }), order(2, { id: id.toUpperCase(), source: '/case' }))
      await publish(order(1, { id: 'Seven', source: '/case' }), order(2, { id: 'seven', source: '/case' }))
      await drained(server)
      const ids = (await home.rows()).filter((row) => row.source === '/case').map((row) => row.id)
      assert.deepEqual(new Set(ids), new Set([id, 'Seven', 'seven']))
      assert.equal(ids.length, 3)
    })

    await t.test('a UUID in upper case keeps its text', async () => {
      const id = newId().toUpperCase()
      await publish(order(1, { id, source: '/upper' }))
      await drained(server)
      const [row] = await home.query(`SELECT id, event_id AS key FROM landed WHERE source = '/upper'`)
      assert.deepEqual([row?.id, row?.key], [id, id.replaceAll('-', '').toLowerCase()])
    })

    await t.test(
      'when two sources use the same UUID, the key of the second row is the UUIDv5 of source and id',
      async () => {
        const id = newId()
        await publish(order(1, { id, source: '/one' }))
        await drained(server)
        await publish(
          order(1, { id, source: '/two' }),
          order(1, { id, source: '/three' }),
          order(1, { id, source: '/two' }),
        )
        const ledger = await drained(server)
        const rows = (await home.rows()).filter((row) => row.id === id)
        assert.deepEqual(
          new Map(rows.map((row) => [row.source, row.eventId])),
          new Map([
            ['/one', id.replaceAll('-', '')],
            ['/two', uuidV5('/two', id)],
            ['/three', uuidV5('/three', id)],
          ]),
        )
        assert.equal(rows.length, 3)
        assert.ok(ledger.every((line) => line.balanced))
      },
    )

    await t.test('the ledger counts every copy that was stored, and none is dead', async () => {
      const [line] = await landingLedger(server)
      assert.deepEqual([line?.waiting, line?.dead, line?.lost, line?.reopened], [0, 0, 0, 0])
      assert.equal(line?.accepted, line?.landed)
    })
  })
