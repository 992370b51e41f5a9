// The embedded log: the suite of every log.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { openEventLog } from '../../src/event-log/open-event-log.ts'
import { eventLogSuite } from './event-log.suite.ts'
import type { EventLogHarness } from './event-log-bench.ts'

const silent = { info() {}, warn() {} }

const harness: EventLogHarness = {
  driver: 'embedded',
  async create() {
    let dataDir = mkdtempSync(join(tmpdir(), 'millrace-log-'))
    const made = [dataDir]
    const abandoned: EventLog[] = []
    let skewMs = 0
    const now = () => Date.now() + skewMs
    return {
      open: () => openEventLog({ dataDir, diskReserveBytes: 0 }, { logger: silent, now }),
      async crash(eventLog) {
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
      async passTime(ms) {
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
