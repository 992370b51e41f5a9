// The cost of an append to Redis: CPU time of the driver's append script, against a bare XADD of the same batch.

import { createClient } from 'redis'
import { openEventLog } from '../../src/event-log/open-event-log.ts'
import type { RedisServer } from '../../test/support/redis-server.ts'
import { runBlock } from '../block.ts'
import { MessageFactory, type MessageShape } from '../messages.ts'
import { redisInfo, withRedis } from '../redis.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface RedisAppendOptions extends MessageShape {
  readonly batches: number
}

interface Appender {
  append(bytes: Buffer): Promise<unknown>
  close(): Promise<unknown>
}

const manyInFlight = 64
const warmUpShare = 0.25
const topic = 'events'
const group = 'landing'

await runBlock(({ batches, ...shape }: RedisAppendOptions) =>
  withTempDirectory((directory) => {
    const measure = async (redis: RedisServer) => {
      const problems: string[] = []
      /** CPU time of Redis's main thread per batch, in microseconds. */
      const micros = async (open: typeof openLog, streamKey: string, inFlight: number): Promise<number> => {
        await redis.command('FLUSHALL')
        const { append, close } = await open(redis, directory, shape)
        const messages = new MessageFactory(shape)
        const run = async (count: number) => {
          for (let done = 0; done < count; done += inFlight) {
            await Promise.all(Array.from({ length: Math.min(inFlight, count - done) }, () => append(messages.next())))
          }
        }
        const warmUp = Math.ceil(batches * warmUpShare)
        await run(warmUp)
        const before = await mainThreadMicros(redis)
        await run(batches)
        const used = (await mainThreadMicros(redis)) - before
        await close()
        const stored = await redis.command('XLEN', streamKey)
        if (stored !== `:${warmUp + batches}\r\n`) {
          problems.push(`${streamKey} has ${stored.trim()} entries, expected ${warmUp + batches}`)
        }
        return used / batches
      }
      const both = async (inFlight: number) => {
        const log = () => micros(openLog, `millrace:{${topic}/0}:lane:normal`, inFlight)
        const bare = () => micros(openBare, topic, inFlight)
        const first = [await bare(), await log()] as const
        const second = [await log(), await bare()] as const
        return { xadd: (first[0] + second[1]) / 2, append: (first[1] + second[0]) / 2 }
      }
      const startMs = performance.now()
      const alone = await both(1)
      const together = await both(manyInFlight)
      return {
        events: 8 * batches * shape.eventsPerMessage,
        seconds: (performance.now() - startMs) / 1000,
        serviceCpuSeconds: 0,
        durability: 'everysec' as const,
        problems,
        details: {
          xaddMicrosAlone: alone.xadd,
          appendMicrosAlone: alone.append,
          cpuPerXaddAlone: alone.append / alone.xadd,
          xaddMicrosTogether: together.xadd,
          appendMicrosTogether: together.append,
          cpuPerXaddTogether: together.append / together.xadd,
        },
      }
    }
    // No rewrite of the append-only file, which would slow down one of the phases.
    return withRedis(directory, 'everysec', measure, [['auto-aof-rewrite-percentage', '0']])
  }),
)

async function openLog(redis: RedisServer, dataDir: string, shape: MessageShape): Promise<Appender> {
  const config = { dataDir, diskReserveBytes: 0, redisUrl: redis.url, durability: { level: 'broker' } as const }
  const log = await openEventLog(config, { logger: { info() {}, warn() {} }, now: Date.now })
  await log.declare(topic, { partitions: 1, groups: [{ name: group }] })
  const stream = { topic, partition: 0, lane: 'normal' } as const
  const maxWaiting = { maxEvents: 1e9, maxBytes: 2 ** 40 }
  return {
    append: (bytes) => {
      const batch = { bytes, count: shape.eventsPerMessage, receivedAtMicros: Date.now() * 1000 }
      return log.append(stream, [batch], { maxWaiting })
    },
    close: () => log.close(),
  }
}

async function openBare(redis: RedisServer): Promise<Appender> {
  const client = createClient({ url: redis.url })
  await client.connect()
  return { append: (bytes) => client.xAdd(topic, '*', { b: bytes }), close: () => client.close() }
}

async function mainThreadMicros(redis: RedisServer): Promise<number> {
  const cpu = await redisInfo(redis, 'cpu')
  return 1e6 * (Number(cpu.get('used_cpu_user_main_thread')) + Number(cpu.get('used_cpu_sys_main_thread')))
}
