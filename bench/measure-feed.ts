// The measured part of W4 for the product and for the floor: how many events a second reach all subscribers together.

import { setTimeout as sleep } from 'node:timers/promises'
import type { BlockResult } from './block.ts'
import { FeedSubscriber } from './feed-subscriber.ts'
import { cpuSecondsOf } from './process-usage.ts'

export interface FeedOptions {
  readonly subscribers: number
  readonly payloadBytes: number
  readonly warmSeconds: number
  readonly seconds: number
}

export interface FeedSource {
  /** Begins to send to the subscribers that are there; `received` is what the slowest one has got. */
  start(received: () => number): void
  /** Sends nothing more; resolves with the number of events that each subscriber gets. Null: unknown. */
  stop(): Promise<number | null>
}

const joiningAtOnce = 50
const lastEventsWithinMs = 20_000

export async function measureFeed(
  service: { readonly address: string; readonly pid: number },
  { subscribers: count, warmSeconds, seconds }: FeedOptions,
  source: FeedSource,
): Promise<Omit<BlockResult, 'durability'> & { problems: string[] }> {
  const subscribers: FeedSubscriber[] = []
  try {
    while (subscribers.length < count) {
      const joining = Math.min(joiningAtOnce, count - subscribers.length)
      const added = Array.from({ length: joining }, () => new FeedSubscriber({ address: service.address }))
      subscribers.push(...added)
      await Promise.all(added.map(({ live }) => live))
    }
    const slowest = () =>
      subscribers.reduce((least, { received }) => Math.min(least, received), Number.MAX_SAFE_INTEGER)
    const inAll = () => subscribers.reduce((sum, { received }) => sum + received, 0)
    source.start(slowest)
    await sleep(1000 * warmSeconds)
    const [startMs, before, cpuBefore, ownCpuBefore] = [
      performance.now(),
      inAll(),
      cpuSecondsOf(service.pid),
      cpuSecondsOf(process.pid),
    ]
    await sleep(1000 * seconds)
    const events = inAll() - before
    const measured = {
      events,
      seconds: (performance.now() - startMs) / 1000,
      serviceCpuSeconds: cpuSecondsOf(service.pid) - cpuBefore,
    }
    const generatorCpuSeconds = cpuSecondsOf(process.pid) - ownCpuBefore
    const sent = await source.stop()
    const problems = sent === null ? [] : await deliveryProblems(subscribers, sent)
    return { ...measured, problems, details: { subscribers: count, generatorCpuSeconds } }
  } finally {
    for (const subscriber of subscribers) subscriber.close()
  }
}

async function deliveryProblems(subscribers: readonly FeedSubscriber[], sent: number): Promise<string[]> {
  const endMs = performance.now() + lastEventsWithinMs
  const isShort = () => subscribers.some(({ received, dropped }) => received + dropped < sent)
  while (isShort() && performance.now() < endMs) await sleep(10)
  const wrong = subscribers.filter(({ received, dropped }) => received !== sent || dropped !== 0)
  if (wrong.length === 0) return []
  const [{ received, dropped }] = wrong as [FeedSubscriber]
  return [
    `${wrong.length} subscribers did not get all ${sent} events: one got ${received}, and ${dropped} were dropped`,
  ]
}
