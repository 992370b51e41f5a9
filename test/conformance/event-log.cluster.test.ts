// The log on a Redis Cluster: the suite of every log, on three real masters.

import type { EventLog } from '../../src/event-log/event-log.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import { redisPrefix, sharedCluster } from '../support/shared-services.ts'
import { startTcpRelay, type TcpRelay } from '../support/tcp-relay.ts'
import { eventLogSuite } from './event-log.suite.ts'
import type { EventLogHarness } from './event-log-bench.ts'

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

eventLogSuite(harness)
