import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../../src/client/connect.ts'
import { cleanup } from '../support/cleanup.ts'
import { order, orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { eventInput } from '../support/publish.ts'
import { seededRandom } from '../support/random.ts'
import { countRows, queryStore } from '../support/store-file.ts'
import { drained } from '../support/tally.ts'

test('fault N3: a Produce stream that is reset repeatedly resumes after the last acknowledgement', async (t) => {
  const random = seededRandom(t)
  const server = await startInProcess(t)
  const proxy = await startFaultProxy(t, () => server.grpc)
  const client = connect({ addresses: [proxy.address] })
  cleanup(t, () => client.close())
  let cuts = 0
  const publisher = client.publisher({ maxMessageEvents: 50, onCut: () => cuts++ })
  const count = 5000
  for (const [index, event] of orders(count).entries()) {
    if (index % 700 === 0) {
      const connections = proxy.total
      proxy.cutAfterBytesUp(random.between(1, 20_000))
      if (index > 0) await eventually(() => assert.ok(proxy.total > connections, 'not reconnected'))
    }
    if (!publisher.add(eventInput(event))) await publisher.ready()
  }
  const totals = await publisher.close()
  assert.deepEqual([totals.accepted, totals.rejected, totals.dropped], [count, 0, 0])
  assert.ok(cuts >= 4, `only ${cuts} cuts`)
  t.diagnostic(`${cuts} cuts, ${proxy.total} connections`)
  const [line] = await drained(server)
  assert.equal(line?.accepted, count, 'entries already in the log are acknowledged, not stored again')
  assert.equal(countRows(server.dataDir), count)
  const rows = queryStore(server.dataDir, `SELECT json_extract(data, '$.number') AS n FROM events ORDER BY log_offset`)
  assert.deepEqual(
    rows.map((row) => row.n),
    Array.from({ length: count }, (_, index) => index),
    'the order is kept',
  )
})

test('fault N8: a unary call whose answer is lost is resent with the same ids and makes one row', async (t) => {
  const server = await startInProcess(t)
  const proxy = await startFaultProxy(t, () => server.grpc)
  const client = connect({ addresses: [proxy.address] })
  cleanup(t, () => client.close())
  await client.publishEvents([eventInput(order(0))])
  const events = orders(10).map(eventInput)
  proxy.down.blocked = true
  const first = client.publishEvents(events, { deadlineMs: 400 })
  await assert.rejects(first, { code: 'deadline_exceeded' })
  proxy.cut()
  proxy.heal()
  await eventually(async () => assert.equal((await client.publishEvents(events)).accepted, 10))
  const [line] = await drained(server)
  assert.equal(countRows(server.dataDir), 11)
  assert.equal(line?.accepted, 21, 'both copies are in the log: only Produce is deduplicated there')
})

test('a client on a slow, high-latency connection is served', async (t) => {
  const server = await startInProcess(t)
  const proxy = await startFaultProxy(t, () => server.grpc)
  proxy.up.delayMs = 60
  proxy.down.delayMs = 60
  proxy.up.bytesPerSecond = 400_000
  const client = connect({ addresses: [proxy.address] })
  cleanup(t, () => client.close())
  const publisher = client.publisher({ maxMessageEvents: 100 })
  for (const event of orders(2000)) if (!publisher.add(eventInput(event))) await publisher.ready()
  assert.equal((await publisher.close()).accepted, 2000)
})
