// The log on a Redis Cluster, on three real masters: in `npm test` the random calls of the suite, in the long run all of it.
// What is different on a Cluster is where keys are and how scripts reach them; the rest is the driver of one Redis.

import type { EventLog } from '../../src/event-log/event-log.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import { isLongRun } from '../support/depth.ts'
import { redisPrefix, sharedCluster } from '../support/shared-services.ts'
import { startTcpRelay, type TcpRelay } from '../support/tcp-relay.ts'
import { eventLogSuite } from './event-log.suite.ts'
import type { EventLogHarness } from './event-log-bench.ts'
import { eventLogModelTest } from './event-log-model.ts'

const silent = { info() {}, warn() {} }

const harness: EventLogHarness = {
  driver: 'redis cluster',
  async create() {
    const { url, masters } = await sharedCluster()
    const prefix = redisPrefix()
    const relaysOf = new Map<EventLog, TcpRelay[]>()
    const abandoned: EventLog[] = []
    let skewMs = 0
    const now = () => Date.now() + skewMs
    return {
      async open() {
        const relays = new Map<number, TcpRelay>()
        for (const { port } of masters) relays.set(port, await startTcpRelay(port))
        const eventLog = await openRedisLog({
          ...{ url, prefix, logger: silent, now },
          elapsedMs: () => performance.now() + skewMs,
          reach: (address) => ({ ...address, port: relays.get(address.port)!.port }),
        })
        relaysOf.set(eventLog, [...relays.values()])
        return eventLog
      },
      async crash(eventLog) {
        // The nodes see what they would see after kill -9: the connections end, and no more commands arrive.
        for (const relay of relaysOf.get(eventLog) ?? []) await relay.close()
        abandoned.push(eventLog)
      },
      now,
      async passTime(ms) {
        skewMs += ms
      },
      async destroy() {
        for (const eventLog of abandoned) await eventLog.close()
        for (const relay of [...relaysOf.values()].flat()) await relay.close()
      },
    }
  },
}

if (isLongRun) eventLogSuite(harness)
else eventLogModelTest(harness)
