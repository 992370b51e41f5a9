// W4: subscribers that never read, beside ones that do: what they cost the healthy ones in latency, and the server in
// memory. At a fixed rate; the stuck ones come and go in turns, so that a drift of the machine hits both alike.

import { createHistogram } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { runBlock } from '../block.ts'
import { FeedSubscriber } from '../feed-subscriber.ts'
import { MessageFactory } from '../messages.ts'
import { PacedProducer } from '../paced-producer.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { RssWatch } from '../rss-watch.ts'
import { ingestOnly, startService } from '../service.ts'
import { median } from '../statistics.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface StuckOptions {
  readonly healthy: number
  readonly stuck: number
  readonly payloadBytes: number
  readonly eventsPerSecond: number
  /** How long each turn lasts, without the stuck ones and with them. */
  readonly seconds: number
  readonly turns: number
}

const eventsPerMessage = 10
const tickMs = 1
const maxBufferedEvents = 200
/** The bytes of an event besides its payload, and of its place in a buffer. */
const bufferedEventBytes = 300
/** What the connection and the sockets take before the buffer fills. */
const settleMs = 1500

await runBlock((options: StuckOptions) => withTempDirectory((directory) => measure(directory, options)))

async function measure(directory: string, options: StuckOptions) {
  const service = await startService(directory, ingestOnly)
  const messages = new MessageFactory({ eventsPerMessage, payloadBytes: options.payloadBytes })
  const producer = new PacedProducer(service.address, messages)
  const watch = new RssWatch(service.pid)
  let histogram = createHistogram()
  /** When the message with the nth event was due, by its number of events sent. */
  const startMs = performance.now()
  const dueMs = (event: number) => startMs + (1000 * event) / options.eventsPerSecond
  const late = createHistogram()
  const ticker = setInterval(() => {
    const nowMs = performance.now()
    late.record(Math.max(1, Math.round(1000 * (nowMs - dueMs(producer.sent + eventsPerMessage)))))
    producer.sendUpTo(((nowMs - startMs) / 1000) * options.eventsPerSecond)
  }, tickMs)
  const join = async (count: number, of: (index: number) => FeedSubscriber) => {
    const subscribers = Array.from({ length: count }, (_, index) => of(index))
    await Promise.all(subscribers.map(({ live }) => live))
    return subscribers
  }
  const firsts: number[] = []
  const healthy = await join(options.healthy, (index) => {
    const subscriber = new FeedSubscriber({
      address: service.address,
      onEvents: () => {
        const event = (firsts[index] ?? Number.NaN) + subscriber.received
        const latencyMs = performance.now() - dueMs(event)
        if (latencyMs > 0) histogram.record(Math.max(1, Math.round(1000 * latencyMs)))
      },
    })
    return subscriber
  })
  const problems: string[] = []
  const p99 = { without: [] as number[], with: [] as number[] }
  const cpuBefore = cpuSecondsOf(service.pid)
  let rssBefore = 0
  let rssWith = 0
  let dropped = 0
  const turn = async (kind: 'without' | 'with') => {
    await sleep(settleMs)
    // All that was sent by now has been received: a number received tells which event came last.
    for (const [index, { received }] of healthy.entries()) firsts[index] ??= producer.sent - received
    histogram = createHistogram()
    watch.take()
    await sleep(1000 * options.seconds)
    p99[kind].push(histogram.percentile(99) / 1000)
    const { highestBytes } = watch.take()
    if (kind === 'without') rssBefore = Math.max(rssBefore, highestBytes)
    else rssWith = Math.max(rssWith, highestBytes)
  }
  for (let index = 0; index < options.turns; index++) {
    await turn('without')
    const stuck = await join(options.stuck, () => {
      const subscriber = new FeedSubscriber({ address: service.address, maxBufferedEvents })
      void subscriber.live.then(() => subscriber.pause())
      return subscriber
    })
    await turn('with')
    // What they hold is sent when they read again: with what was dropped it is all that was published.
    for (const subscriber of stuck) subscriber.resume()
    await sleep(settleMs)
    dropped += stuck.reduce((sum, subscriber) => sum + subscriber.dropped, 0)
    for (const subscriber of stuck) subscriber.close()
  }
  clearInterval(ticker)
  const serviceCpuSeconds = cpuSecondsOf(service.pid) - cpuBefore
  const seconds = (performance.now() - startMs) / 1000
  const sent = await producer.end()
  await sleep(settleMs)
  const missing = healthy.filter(({ received, dropped }) => dropped > 0 || received < sent - 10_000)
  if (missing.length > 0) problems.push(`${missing.length} healthy subscribers have lost events`)
  if (!(dropped > 0)) problems.push('the stuck subscribers have dropped nothing, or not said how much')
  for (const subscriber of healthy) subscriber.close()
  watch.close()
  await service.stop()
  const bufferBytes = options.stuck * maxBufferedEvents * (options.payloadBytes + bufferedEventBytes)
  return {
    ...{ events: sent, seconds, serviceCpuSeconds, durability: 'disk' as const, problems },
    details: {
      p99WithoutMs: median(p99.without),
      p99WithMs: median(p99.with),
      p99Ratio: median(p99.with) / median(p99.without),
      rssBeyondBuffersMiB: (rssWith - rssBefore - bufferBytes) / 2 ** 20,
      droppedByStuck: dropped,
      generatorLateP99Ms: late.percentile(99) / 1000,
    },
  }
}
