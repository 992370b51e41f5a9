// The log on Redis: the suite of every log, on a real server.

import { before, test } from 'node:test'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import { asLimitedUser, makeLimitedUser, refuseDenials } from '../support/redis-user.ts'
import { redisPrefix, sharedRedis } from '../support/shared-services.ts'
import { startTcpRelay, type TcpRelay } from '../support/tcp-relay.ts'
import { eventLogSuite } from './event-log.suite.ts'
import type { EventLogHarness } from './event-log-bench.ts'

const silent = { info() {}, warn() {} }

before(async () => makeLimitedUser(await sharedRedis(), 'test'))

const harness: EventLogHarness = {
  driver: 'redis',
  async create() {
    const { port } = await sharedRedis()
    const prefix = redisPrefix()
    const relays = new Map<EventLog, TcpRelay>()
    const abandoned: EventLog[] = []
    let skewMs = 0
    const now = () => Date.now() + skewMs
    return {
      async open() {
        const relay = await startTcpRelay(port)
        const elapsedMs = () => performance.now() + skewMs
        const url = asLimitedUser(relay.url)
        const eventLog = await openRedisLog({ url, prefix, logger: silent, now, elapsedMs })
        relays.set(eventLog, relay)
        return eventLog
      },
      async crash(eventLog) {
        // The server sees what it would see after kill -9: the connection ends, and no more commands arrive.
        await relays.get(eventLog)?.close()
        abandoned.push(eventLog)
      },
      now,
      async passTime(ms) {
        skewMs += ms
      },
      async destroy() {
        for (const eventLog of abandoned) await eventLog.close()
        for (const relay of relays.values()) await relay.close()
      },
    }
  },
}

eventLogSuite(harness)

test('the log uses only the commands and keys that its user is granted', async () => {
  await refuseDenials(await sharedRedis())
})
