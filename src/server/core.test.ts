import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cleanup } from '../../test/support/cleanup.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import { openEventLog } from '../event-log/open-event-log.ts'
import type { Files } from '../pipeline/files.ts'
import type { Keys } from '../pipeline/keys.ts'
import { openStore } from '../store/open-store.ts'
import { Health } from '../telemetry/health.ts'
import { createLogger } from '../telemetry/logger.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { DeliveryTimes } from '../workers/delivery-times.ts'
import { Core } from './core.ts'

test('concurrent calls share one slow reading of the status, and its age counts from its end', async (t) => {
  const files = { dataDir: tempDirectory(t), diskReserveBytes: 0 }
  const eventLog = await openEventLog(files, { logger: { info() {}, warn() {} }, now: Date.now })
  cleanup(t, () => eventLog.close())
  const store = await openStore(files)
  cleanup(t, () => store.close())
  const metrics = createMetrics()
  cleanup(t, async () => metrics.close())
  let nowMs = 0
  let reads = 0
  let gate = Promise.withResolvers<void>()
  const describe = eventLog.describe.bind(eventLog)
  eventLog.describe = async () => {
    reads++
    await gate.promise
    return await describe()
  }
  const core = new Core({
    version: '0.0.0',
    eventLog,
    store,
    storeDriver: 'sqlite',
    isStoreUp: () => true,
    processes: () => [],
    files: {} as Files,
    keys: {} as Keys,
    ingest: null,
    requests: null,
    live: null,
    remoteGroups: null,
    pools: [],
    ownGroups: [],
    deliveryTimes: new DeliveryTimes(Date.now),
    logHealth: () => ({ persistence: 'fsync', isUnverified: false, problem: null }),
    metrics,
    logger: createLogger({ level: 'fatal' }),
    agentOfflineMs: 1000,
    health: new Health([]),
    now: Date.now,
    monotonicNow: () => nowMs,
  })

  const asked = [core.status()]
  for (nowMs = 400; nowMs <= 2000; nowMs += 400) asked.push(core.status())
  assert.equal(reads, 1)
  gate.resolve()
  assert.equal(new Set(await Promise.all(asked)).size, 1)
  nowMs += 400
  await core.status()
  assert.equal(reads, 1)
  nowMs += 200
  await core.status()
  assert.equal(reads, 2)

  // A failed reading is reused exactly as long as a successful one.
  nowMs += 600
  gate = Promise.withResolvers()
  const failing = core.status()
  gate.reject(new Error('the log does not answer'))
  await assert.rejects(failing, /does not answer/)
  await assert.rejects(core.status(), /does not answer/)
  nowMs += 600
  gate = Promise.withResolvers()
  gate.resolve()
  await core.status()
  assert.equal(reads, 4)
})
