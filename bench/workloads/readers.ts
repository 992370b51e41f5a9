// W9: readers of large pages beside a producer at full speed: what they cost everyone else.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, connect } from '../../src/client/connect.ts'
import { runBlock } from '../block.ts'
import { payload } from '../messages.ts'
import { withPostgres } from '../postgres.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { startProgram } from '../program.ts'
import { RssWatch } from '../rss-watch.ts'
import { type Service, startService } from '../service.ts'
import { quantile } from '../statistics.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface ReadersOptions {
  readonly store: 'sqlite' | 'postgres'
  readonly readers: number
  readonly largeEvents: number
  readonly largePayloadBytes: number
  readonly payloadBytes: number
  /** How long each phase lasts: alone, and beside the readers. */
  readonly seconds: number
}

const producers = 4
const eventsPerCall = 100
const probeEveryMs = 20
const mebibyte = 1024 * 1024

await runBlock((options: ReadersOptions) =>
  withTempDirectory((directory) =>
    options.store === 'sqlite'
      ? measure(directory, options)
      : withPostgres(directory, (_server, url) => measure(directory, options, url)),
  ),
)

async function measure(directory: string, options: ReadersOptions, postgresUrl?: string) {
  const service = await startService(directory, postgresUrl === undefined ? {} : { MILLRACE_POSTGRES_URL: postgresUrl })
  const client = connect({ addresses: [service.address] })
  await landLargeEvents(service, client, options)
  const until = new Date().toISOString()
  const watch = new RssWatch(service.pid)
  const cpuBefore = cpuSecondsOf(service.pid)
  await phase(service, client, { ...options, seconds: options.seconds / 2 })
  watch.take()
  const quiet = await phase(service, client, options)
  const quietRss = watch.take()
  const page = `http://${service.http}/v1/events?until=${until}&limit=1000`
  const readers = await startProgram('page-readers', [page, String(options.readers)])
  const beside = await phase(service, client, options)
  const besideRss = watch.take()
  await readers.stop()
  const serviceCpuSeconds = cpuSecondsOf(service.pid) - cpuBefore
  watch.close()
  client.close()
  await service.stop()
  return {
    events: beside.published,
    seconds: options.seconds,
    serviceCpuSeconds,
    durability: 'disk' as const,
    problems: [],
    details: {
      livezP99Ms: beside.livezP99Ms,
      quietLivezP99Ms: quiet.livezP99Ms,
      publishP99Ratio: beside.publishP99Ms / quiet.publishP99Ms,
      publishP99Ms: beside.publishP99Ms,
      publishedBeside: beside.published / quiet.published,
      rssGrowthMiB: (besideRss.highestBytes - quietRss.highestBytes) / mebibyte,
    },
  }
}

async function landLargeEvents(service: Service, client: Client, options: ReadersOptions): Promise<void> {
  const { largeEvents, largePayloadBytes } = options
  for (let number = 1; number <= largeEvents; number++)
    await client.publishEvents([{ type: 'bench.large', source: '/bench', data: payload(number, largePayloadBytes) }])
  while ((await service.counter('millrace_landing_rows_total')) < largeEvents) await sleep(50)
}

async function phase(service: Service, client: Client, options: ReadersOptions) {
  const endMs = performance.now() + options.seconds * 1000
  const isOver = () => performance.now() >= endMs
  const livez: number[] = []
  const publish: number[] = []
  let published = 0
  const produce = async () => {
    while (!isOver()) {
      const events = Array.from({ length: eventsPerCall }, () => ({
        type: 'bench.reading',
        source: '/bench',
        data: payload(1, options.payloadBytes),
      }))
      publish.push(await timed(() => client.publishEvents(events)))
      published += eventsPerCall
    }
  }
  const probe = async () => {
    while (!isOver()) {
      livez.push(await timed(() => fetch(`http://${service.http}/livez`).then((answer) => answer.text())))
      await sleep(probeEveryMs)
    }
  }
  await Promise.all([...Array.from({ length: producers }, produce), probe()])
  return { published, livezP99Ms: quantile(livez, 0.99), publishP99Ms: quantile(publish, 0.99) }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await work()
  return performance.now() - startMs
}
