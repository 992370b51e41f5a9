import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { assertSound, compare } from '../support/checker.ts'
import { eventually } from '../support/eventually.ts'
import { listEvents, request } from '../support/http-client.ts'
import { Journal } from '../support/journal.ts'
import { loadProduce, loadUnary } from '../support/load.ts'
import { spawnLockHolder } from '../support/lock-holder.ts'
import { projectRoot, startServer } from '../support/server-process.ts'
import { queryStore, readRows } from '../support/store-file.ts'
import { drained } from '../support/tally.ts'

const hourMs = 3_600_000

test('fault A13: a clock that jumps an hour forward and back expires no lease and reorders no events', async (t) => {
  const journal = new Journal()
  const server = await startServer(t, {
    env: { MILLRACE_LEASE_MS: '3000' },
    nodeArguments: ['--import', join(projectRoot, 'test/support/jumping-clock.ts')],
  })
  const jump = (offsetMs: number): void => writeFileSync(join(server.dataDir, 'clock-offset-ms'), String(offsetMs))
  await loadUnary(server, journal, { name: 'before', events: 20 })
  await drained(server)

  // While another process locks the store, landing holds its deliveries on leases that are running.
  const holder = spawnLockHolder(t, join(server.dataDir, 'store.db'))
  await eventually(() => assert.equal(holder.printed(), 'locked\n'))
  const stopping = new AbortController()
  const load = loadProduce(server, journal, { name: 'during', signal: stopping.signal, pauseMs: 5 })
  load.catch(() => {})
  await eventually(() => assert.ok(journal.accepted > 200))
  jump(hourMs)
  await sleep(400)
  jump(-hourMs)
  await sleep(400)
  jump(0)
  await sleep(100)
  holder.release()
  stopping.abort()
  await load

  const ledger = await drained(server, 20_000)
  assertSound(t, compare({ journal, rows: readRows(server.dataDir), ledger }))
  const metrics = (await request(server.http, '/metrics')).text
  assert.match(metrics, /^millrace_landing_duplicates_total 0$/m, 'a takeover would have landed entries twice')
  assert.doesNotMatch(server.stderr, /settled too late/)
  // The jumps are visible only in received_at.
  const [span] = queryStore(server.dataDir, 'SELECT (max(received_at) - min(received_at)) / 1000 AS ms FROM events')
  assert.ok(Number(span?.ms) > 1.9 * hourMs, `received_at spans ${span?.ms} ms`)
  const listed = new Set<string>()
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: Awaited<ReturnType<typeof listEvents>> = await listEvents(
      server.http,
      `limit=1000${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`,
    )
    for (const event of page.events) listed.add(event.event_id)
    cursor = page.next_cursor
  }
  assert.equal(listed.size, readRows(server.dataDir).length, 'the pages show every event')
})
