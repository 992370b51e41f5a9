// `millrace doctor --audit`: counts what waits for paused groups, and compares it with the counters.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgresHome, redisEnvironment } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { RedisServer } from '../support/redis-server.ts'
import { runCommand } from '../support/run-command.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const auditsIn = (stdout: string) =>
  JSON.parse(stdout)
    .findings.filter(({ subject }: { subject: string }) => subject === 'audit')
    .map(({ state, message }: { state: string; message: string }) => `${state}: ${message}`)

for (const log of ['embedded', 'redis'] as const) {
  test(`doctor --audit counts what waits for a paused group (${log})`, async (t) => {
    const redis = log === 'redis' ? await RedisServer.create() : null
    if (redis !== null) cleanup(t, () => redis.destroy())
    const home = redis === null ? { dataDir: tempDirectory(t) } : await postgresHome(t, redisEnvironment(redis.url))
    const server = await startInProcess(t, home)
    const grpc = grpcClient(t, server)
    await grpc.publish({ events: orders(20) })
    await drained(server)
    const { code, stderr } = await runCommand(['groups', 'pause', 'landing', '--address', server.grpc], home)
    assert.equal(code, 0, stderr)
    await grpc.publish({ events: orders(10) })
    await server.stop()
    const doctor = () => runCommand(['doctor', '--audit', '--output', 'json'], home)
    const audits: readonly string[] = auditsIn((await doctor()).stdout)
    const dead = audits.find((line) => line.includes('topic _dead')) ?? ''
    const events = audits.find((line) => line.includes('topic events'))
    assert.match(dead, /^warning: group dead of topic _dead is not paused: "millrace groups pause dead --topic _dead"/)
    assert.equal(events, 'ok: group landing of topic events: 10 events found waiting, as its counters say')
    if (redis === null) return
    const [, keys] = String(await redis.command('SCAN', '0', 'MATCH', '*{events/0}:books', 'COUNT', '1000')).split(
      '\r\n*',
    )
    const books = /\S+\{events\/0\}:books/.exec(keys!)![0]
    await redis.command('HINCRBY', books, 'waiting:landing', '5')
    const wrong = await doctor()
    assert.equal(wrong.code, 1)
    const said = 'problem: group landing of topic events: 10 events found waiting, but its counters say 15'
    assert.ok(auditsIn(wrong.stdout).includes(said), wrong.stdout)
  })
}
