// Request-reply by BullMQ: a job for each call of a grpc-js server, and `waitUntilFinished`. The processor runs in the
// server's process, as Millrace's handler does.

import { runBlock } from '../../block.ts'
import { measureRequests, type RequestOptions } from '../../measure-requests.ts'
import { cpuSecondsOf } from '../../process-usage.ts'
import { startProgram } from '../../program.ts'
import { labelOfFlush, redisCpuSeconds, withRedis } from '../../redis.ts'
import { withTempDirectory } from '../../temp-directory.ts'
import { loadQueue } from './queues.ts'

await runBlock(async (options: RequestOptions) => {
  const bullmq = loadQueue<object>('bullmq')
  if ('absent' in bullmq) return { absent: String(bullmq.absent) }
  return withTempDirectory((directory) =>
    withRedis(directory, 'everysec', async (redis) => {
      const server = await startProgram('peers/queues/bullmq-server', [String(redis.port), String(options.inFlight)])
      try {
        const used = () => redisCpuSeconds(redis) + cpuSecondsOf(server.pid)
        const { requestsInAll, ...measured } = await measureRequests(server, options, used)
        return { ...measured, durability: labelOfFlush.everysec }
      } finally {
        await server.stop()
      }
    }),
  )
})
