// pg-boss with jobs that do nothing: the queue is full before it begins. Jobs are fetched and completed 500 at a time,
// which is its fastest way.

import { runBlock } from '../../block.ts'
import { payload } from '../../messages.ts'
import { postgresCpuSeconds, withPostgres } from '../../postgres.ts'
import { cpuSecondsOf } from '../../process-usage.ts'
import { withTempDirectory } from '../../temp-directory.ts'
import { loadQueue } from './queues.ts'

export interface PgBossOptions {
  readonly events: number
  readonly payloadBytes: number
}

const jobsPerCall = 500
const queueName = 'bench'

/** What is used of the package, which is not one of the project's own. */
interface PgBoss {
  start(): Promise<unknown>
  createQueue(name: string): Promise<void>
  insert(name: string, jobs: object[]): Promise<unknown>
  fetch(name: string, options: { readonly batchSize: number }): Promise<readonly { readonly id: string }[]>
  complete(name: string, ids: readonly string[]): Promise<unknown>
  stop(options: object): Promise<void>
}

await runBlock(async ({ events, payloadBytes }: PgBossOptions) => {
  const module = loadQueue<{ readonly PgBoss: new (url: string) => PgBoss }>('pg-boss')
  if ('absent' in module) return module
  return withTempDirectory((directory) =>
    withPostgres(directory, async (postgres, url) => {
      const boss = new module.PgBoss(url)
      await boss.start()
      await boss.createQueue(queueName)
      for (let from = 0; from < events; from += jobsPerCall) {
        const count = Math.min(jobsPerCall, events - from)
        const jobs = Array.from({ length: count }, (_, index) => ({
          data: JSON.parse(payload(from + index, payloadBytes).toString()),
        }))
        await boss.insert(queueName, jobs)
      }
      const used = () => postgresCpuSeconds(postgres) + cpuSecondsOf(process.pid)
      let handled = 0
      const workUntil = async (count: number) => {
        while (handled < count) {
          const jobs = await boss.fetch(queueName, { batchSize: jobsPerCall })
          if (jobs.length === 0) throw new Error(`the queue is empty after ${handled} of ${events} jobs`)
          await boss.complete(
            queueName,
            jobs.map(({ id }) => id),
          )
          handled += jobs.length
        }
      }
      await workUntil(Math.ceil(events / 4))
      const [startMs, before, warm] = [performance.now(), used(), handled]
      await workUntil(events)
      const [endMs, after] = [performance.now(), used()]
      await boss.stop({ graceful: false })
      return {
        events: handled - warm,
        seconds: (endMs - startMs) / 1000,
        serviceCpuSeconds: after - before,
        durability: 'disk',
        problems: [],
        details: { jobsPerCall },
      }
    }),
  )
})
