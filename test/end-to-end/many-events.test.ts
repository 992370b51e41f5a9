import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { backends } from '../support/backend.ts'
import { samples } from '../support/depth.ts'
import { freePort } from '../support/free-port.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { seededRandom } from '../support/random.ts'
import { runCommand } from '../support/run-command.ts'
import { startServer } from '../support/server-process.ts'
import { drained } from '../support/tally.ts'

for (const backend of backends('embedded', 'redis', 'cluster')) {
  test(`each of many events has one row, in whatever order they arrived (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, home)
    const publisher = clientOf(t, server).publisher({ overflow: 'wait' })
    const count = samples(12_000, 200_000)
    for (let number = 1; number <= count; number++) {
      if (!publisher.add({ type: 'counted', data: { number } })) await publisher.ready()
    }
    const totals = await publisher.close()
    assert.deepEqual([totals.accepted, totals.dropped, totals.rejected], [count, 0, 0])
    const [line] = await drained(server, 30_000)
    assert.deepEqual([line?.accepted, line?.landed, line?.waiting, line?.balanced], [count, count, 0, true])
    const [sums] = await home.query(
      'SELECT count(*) AS rows, count(DISTINCT event_id) AS ids, sum(number) AS sum FROM landed',
    )
    assert.deepEqual({ ...sums }, { rows: count, ids: count, sum: (count * (count + 1)) / 2 })
  })

  test(`millrace produce delivers every event while the server is killed repeatedly, each as one row (${backend.name})`, async (t) => {
    const random = seededRandom(t)
    const kills = samples(2, 5)
    const count = 6000 * kills
    const home = await backend.home(t)
    const env = { ...home.env, MILLRACE_GRPC_PORT: String(await freePort()), MILLRACE_LEASE_MS: '2000' }
    const server = await startServer(t, { ...home, env })
    const producing = runCommand(['produce', String(count), '--rate', '8000'], {
      dataDir: server.dataDir,
      env: { MILLRACE_ADDRESS: server.grpc },
      withinMs: 60_000,
    })
    for (let round = 0; round < kills; round++) {
      await sleep(random.between(150, 700))
      await server.crash()
      await server.start()
    }
    const { code, stdout, stderr } = await producing
    assert.equal(code, 0, stderr)
    assert.match(stdout, new RegExp(`accepted ${count}, dropped 0, rejected 0 in .*events/s`))
    const [line] = await drained(server, 30_000)
    assert.equal(line?.balanced, true)
    const [rows] = await home.query('SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM landed')
    assert.deepEqual({ ...rows }, { n: count, ids: count })
  })
}
