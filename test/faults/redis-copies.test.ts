import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backends } from '../support/backend.ts'
import { newId } from '../support/events.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { drained } from '../support/tally.ts'

const connections = 20
const copiesOfEach = 50

for (const backend of backends('embedded', 'redis')) {
  test(`fault B24: one id, sent a thousand times over 20 connections, is always accepted and makes one row (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const first = await startInProcess(t, home)
    // On a shared log two processes land concurrently.
    const servers = backend.name === 'embedded' ? [first] : [first, await startInProcess(t, home)]
    const event = { id: newId(), source: '/one', type: 'copied' }

    await Promise.all(
      Array.from({ length: connections }, async (_, index) => {
        const grpc = grpcClient(t, servers[index % servers.length]!)
        for (let copy = 0; copy < copiesOfEach; copy++) {
          assert.equal((await grpc.publish({ events: [event] })).accepted, 1n)
        }
      }),
    )

    const [line] = await drained(first)
    const count = connections * copiesOfEach
    assert.partialDeepStrictEqual(line, { accepted: count, landed: count, dead: 0, balanced: true })
    assert.equal(await home.countRows(), 1)
    let duplicates = 0
    for (const { http } of servers) {
      const { text } = await request(http, '/metrics')
      duplicates += Number(/^millrace_landing_duplicates_total (\d+)$/m.exec(text)?.[1] ?? 0)
    }
    assert.equal(duplicates, count - 1)
  })
}
