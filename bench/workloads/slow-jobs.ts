// W7: a long queue of slow jobs. What the memory of the server that works on them is, beside that with a short queue; and
// how long a high event waits for its turn.

import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect } from '../../src/index.ts'
import { runBlock } from '../block.ts'
import { landEvents } from '../land-events.ts'
import { readNote } from '../notes.ts'
import { RssWatch } from '../rss-watch.ts'
import { roomForAll, startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface SlowJobsOptions {
  readonly events: number
  readonly payloadBytes: number
  readonly workMs: number
  /** How long the memory is watched. */
  readonly seconds: number
}

const shortQueueEvents = 1000
const handler = fileURLToPath(new URL('./slow-handler.ts', import.meta.url))

await runBlock(async (options: SlowJobsOptions) => {
  const short = await measure({ ...options, events: shortQueueEvents })
  const long = await measure(options)
  return {
    events: options.events,
    seconds: options.seconds,
    serviceCpuSeconds: 0,
    durability: 'disk',
    problems: [],
    details: {
      shortQueueMiB: short.rssMiB,
      longQueueMiB: long.rssMiB,
      rssGrowthMiB: long.rssMiB - short.rssMiB,
      highStartsInTimes: long.highStartsMs / options.workMs,
    },
  }
})

function measure({ workMs, seconds, ...options }: SlowJobsOptions) {
  return withTempDirectory(async (directory) => {
    await landEvents(directory, options)
    const service = await startService(directory, {
      ...roomForAll,
      MILLRACE_HANDLERS: handler,
      BENCH_DIRECTORY: directory,
      BENCH_WORK_MS: String(workMs),
    })
    const watch = new RssWatch(service.pid)
    await sleep(1000 * seconds)
    const { highestBytes } = watch.take()
    watch.close()
    const client = connect({ addresses: [service.address] })
    await client.publishEvents([{ type: 'urgent', lane: 'high' }])
    const acceptedAtMs = Date.now()
    const { atMs } = await readNote(directory, 'high')
    client.close()
    await service.stop()
    return { rssMiB: highestBytes / 2 ** 20, highStartsMs: Math.max(0, atMs - acceptedAtMs) }
  })
}
