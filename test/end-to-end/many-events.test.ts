import assert from 'node:assert/strict'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { clientOf } from '../support/publish.ts'
import { seededRandom } from '../support/random.ts'
import { runCommand } from '../support/run-command.ts'
import { startServer } from '../support/server-process.ts'
import { countRows, queryStore } from '../support/store-file.ts'
import { drained } from '../support/tally.ts'

test('100,000 events are 100,000 rows, each once, whatever their order was', async (t) => {
  const server = await startServer(t)
  const publisher = clientOf(t, server).publisher({ overflow: 'wait' })
  const count = 100_000
  for (let number = 1; number <= count; number++) {
    if (!publisher.add({ type: 'counted', data: { number } })) await publisher.ready()
  }
  const totals = await publisher.close()
  assert.deepEqual([totals.accepted, totals.dropped, totals.rejected], [count, 0, 0])
  const [line] = await drained(server, 30_000)
  assert.deepEqual([line?.accepted, line?.landed, line?.waiting, line?.balanced], [count, count, 0, true])
  const [sums] = queryStore(
    server.dataDir,
    `SELECT count(*) AS rows, count(DISTINCT event_id) AS ids, sum(json_extract(data, '$.number')) AS sum FROM events`,
  )
  assert.deepEqual({ ...sums }, { rows: count, ids: count, sum: (count * (count + 1)) / 2 })
})

test('millrace produce gets every event through five kills of the server, each as one row', async (t) => {
  const random = seededRandom(t)
  const count = 40_000
  const server = await startServer(t, { env: { MILLRACE_GRPC_PORT: String(await freePort()) } })
  const producing = runCommand(t, ['produce', String(count), '--rate', '8000'], {
    dataDir: server.dataDir,
    env: { MILLRACE_ADDRESS: server.grpc },
    withinMs: 60_000,
  })
  for (let round = 0; round < 5; round++) {
    await sleep(random.between(150, 700))
    await server.crash()
    await server.start()
  }
  const { code, stdout, stderr } = await producing
  assert.equal(code, 0, stderr)
  assert.match(stdout, new RegExp(`accepted ${count}, dropped 0, rejected 0 in .*events/s`))
  const [line] = await drained(server, 30_000)
  assert.equal(line?.balanced, true)
  const [rows] = queryStore(server.dataDir, 'SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM events')
  assert.deepEqual({ ...rows }, { n: count, ids: count })
  assert.equal(countRows(server.dataDir), count)
})

/** A port that was free a moment ago, so that a server can come back to the same one. */
async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}
