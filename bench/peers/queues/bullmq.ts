// BullMQ with jobs that do nothing: the queue is full before it begins, and nothing else runs. Its processor runs in a
// process of its own: this one.

import { runBlock } from '../../block.ts'
import { payload } from '../../messages.ts'
import { cpuSecondsOf } from '../../process-usage.ts'
import { labelOfFlush, redisCpuSeconds, withRedis } from '../../redis.ts'
import { withTempDirectory } from '../../temp-directory.ts'
import { loadQueue } from './queues.ts'

export interface BullmqOptions {
  readonly events: number
  readonly payloadBytes: number
  readonly concurrency: number
}

const jobsPerCall = 500
const queueName = 'bench'

/** What is used of the package, which is not one of the project's own. */
interface Bullmq {
  readonly Queue: new (
    name: string,
    options: object,
  ) => { addBulk(jobs: object[]): Promise<unknown>; close(): Promise<void> }
  readonly Worker: new (name: string, work: () => Promise<void>, options: object) => { close(): Promise<void> }
}

await runBlock(async ({ events, payloadBytes, concurrency }: BullmqOptions) => {
  const bullmq = loadQueue<Bullmq>('bullmq')
  if ('absent' in bullmq) return bullmq
  const { Queue, Worker } = bullmq
  return withTempDirectory((directory) =>
    withRedis(directory, 'everysec', async (redis) => {
      const connection = { host: '127.0.0.1', port: redis.port }
      const queue = new Queue(queueName, { connection })
      for (let from = 0; from < events; from += jobsPerCall) {
        const count = Math.min(jobsPerCall, events - from)
        await queue.addBulk(
          Array.from({ length: count }, (_, index) => ({
            name: 'reading',
            data: JSON.parse(payload(from + index, payloadBytes).toString()),
            opts: { removeOnComplete: true, attempts: 5 },
          })),
        )
      }
      const used = () => redisCpuSeconds(redis) + cpuSecondsOf(process.pid)
      const warm = Promise.withResolvers<void>()
      const done = Promise.withResolvers<void>()
      let handled = 0
      const work = async () => {
        handled++
        if (handled === Math.ceil(events / 4)) warm.resolve()
        if (handled === events) done.resolve()
      }
      const worker = new Worker(queueName, work, { connection, concurrency })
      await warm.promise
      const [startMs, before] = [performance.now(), used()]
      await done.promise
      const [endMs, after] = [performance.now(), used()]
      await worker.close()
      await queue.close()
      return {
        events: events - Math.ceil(events / 4),
        seconds: (endMs - startMs) / 1000,
        serviceCpuSeconds: after - before,
        durability: labelOfFlush.everysec,
        problems: [],
        details: { concurrency },
      }
    }),
  )
})
