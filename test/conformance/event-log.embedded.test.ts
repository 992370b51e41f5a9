// The embedded log: the suite of every log.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { openEventLog } from '../../src/event-log/open-event-log.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventLogSuite } from './event-log.suite.ts'
import { batchOf, group, named, stream, topic } from './event-log-verbs.ts'

const silent = { info() {}, warn() {} }

const harness = {
  driver: 'embedded',
  async create() {
    let dataDir = mkdtempSync(join(tmpdir(), 'millrace-log-'))
    const made = [dataDir]
    const abandoned: EventLog[] = []
    let skewMs = 0
    const now = () => Date.now() + skewMs
    return {
      open: () => openEventLog({ dataDir, diskReserveBytes: 0 }, { logger: silent, now }),
      get dataDir() {
        return dataDir
      },
      async crash(eventLog: EventLog) {
        // When describe has resolved, the thread that owns the file is idle, and no work can begin before the copy is
        // made: the copy is what kill -9 would leave. Another process copies, because closing a descriptor of log.db in
        // this one would drop its lock.
        await eventLog.describe()
        const copy = mkdtempSync(join(tmpdir(), 'millrace-log-'))
        spawnSync('cp', ['-r', `${dataDir}/.`, copy])
        made.push(copy)
        abandoned.push(eventLog)
        dataDir = copy
      },
      now,
      async passTime(ms: number) {
        skewMs += ms
      },
      async destroy() {
        for (const eventLog of abandoned) await eventLog.close()
        for (const directory of made) rmSync(directory, { recursive: true })
      },
    }
  },
}

eventLogSuite(harness)

test('trim removes the requests whose time to live has ended, however many there are', async (t) => {
  const under = await harness.create()
  cleanup(t, () => under.destroy())
  const eventLog = await under.open()
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  const send = (id: string, ttlMs: number) =>
    eventLog.append(stream(), [batchOf([id])], { once: { id, fingerprint: 'f', ttlMs } })
  await Promise.all([send('kept', 600_000), ...named('ended', 120).map((id) => send(id, 1000))])
  await under.passTime(1001)
  await eventLog.trim(topic, { keepSinceMs: 0, maxBytes: 1e9 })
  await eventLog.close()
  const database = new DatabaseSync(join(under.dataDir, 'log.db'))
  cleanup(t, () => database.close())
  assert.deepEqual(
    database
      .prepare('SELECT id FROM requests')
      .all()
      .map(({ id }) => id),
    ['kept'],
  )
})
