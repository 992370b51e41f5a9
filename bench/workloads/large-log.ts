// W9: an embedded log in which very many entries of one event wait, half of the others settled out of order, and many
// redeliveries are due: how soon it is open, and what its larger calls cost the appends beside them.

import { setTimeout as sleep } from 'node:timers/promises'
import { lanes } from '../../src/event/event.ts'
import { encodeBatch } from '../../src/event/record-batch.ts'
import type { Consumer, Delivery, EventLog, StreamName } from '../../src/event-log/event-log.ts'
import { openEventLog } from '../../src/event-log/open-event-log.ts'
import { runBlock } from '../block.ts'
import { payload } from '../messages.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { quantile } from '../statistics.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface LargeLogOptions {
  readonly entries: number
  readonly retries: number
  readonly payloadBytes: number
  /** How long each phase lasts: alone, and beside the larger calls. */
  readonly seconds: number
}

const topic = 'events'
const partitions = 16
const turn = { maxEvents: { high: 1000, normal: 1000, low: 1000 }, maxWaitMs: 0 }
const appendEveryMs = 2

const streams = Array.from({ length: partitions * lanes.length }, (_, index): StreamName => {
  return { topic, partition: Math.floor(index / lanes.length), lane: lanes[index % lanes.length]! }
})

await runBlock((options: LargeLogOptions) =>
  withTempDirectory(async (directory) => {
    const data = payload(1, options.payloadBytes)
    const bytes = encodeBatch([{ id: '1', type: 'bench.reading', source: '/bench', data }])
    const append = (log: EventLog, stream: StreamName) =>
      log.append(stream, [{ bytes, count: 1, receivedAtMicros: Date.now() * 1000 }])
    const filled = await open(directory)
    await filled.declare(topic, { partitions, groups: [{ name: 'landing' }, { name: 'dropped' }] })
    const cpuBefore = cpuSecondsOf(process.pid)
    const startMs = performance.now()
    // One entry for each: appends to one stream that arrive together share an entry.
    for (let made = 0; made < options.entries; made += streams.length)
      await Promise.all(streams.map((stream) => append(filled, stream)))
    const seconds = (performance.now() - startMs) / 1000
    const serviceCpuSeconds = cpuSecondsOf(process.pid) - cpuBefore
    const settled = await settleEverySecond(filled, options)
    await filled.close()

    const openedMs = performance.now()
    const log = await open(directory)
    await append(log, streams[0]!)
    const readySeconds = (performance.now() - openedMs) / 1000
    const appends = async (isOver: () => boolean) => {
      const times: number[] = []
      while (!isOver()) {
        const sentMs = performance.now()
        await append(log, streams[times.length % streams.length]!)
        times.push(performance.now() - sentMs)
        await sleep(appendEveryMs)
      }
      return quantile(times, 0.99)
    }
    await appends(after(options.seconds / 2))
    const quietP99Ms = await appends(after(options.seconds))
    const isOver = after(options.seconds)
    const [besideP99Ms] = await Promise.all([appends(isOver), largerCalls(log, isOver)])
    const { topics } = await log.describe()
    await log.close()
    const landing = topics[0]!.groups.find(({ name }) => name === 'landing')!
    return {
      events: options.entries,
      seconds,
      serviceCpuSeconds,
      durability: 'disk',
      problems: landing.landed === settled ? [] : [`${landing.landed} events are settled, expected ${settled}`],
      details: { readySeconds, quietP99Ms, besideP99Ms, p99Ratio: besideP99Ms / quietP99Ms },
    }
  }),
)

function open(dataDir: string): Promise<EventLog> {
  return openEventLog({ dataDir, diskReserveBytes: 0 }, { logger: { info() {}, warn() {} }, now: Date.now })
}

function after(seconds: number): () => boolean {
  const endMs = performance.now() + seconds * 1000
  return () => performance.now() >= endMs
}

/** Settles every second entry of the first half; the others are given back, the first of them due as redeliveries. */
async function settleEverySecond(log: EventLog, { entries, retries }: LargeLogOptions): Promise<number> {
  const consumer: Consumer = await log.consume(topic, 'landing', { leaseMs: 600_000 })
  let [settled, taken, again] = [0, 0, 0]
  while (taken < entries / 2) {
    const deliveries = await consumer.next(turn)
    taken += deliveries.length
    const landed = deliveries.filter((_, index) => index % 2 === 1)
    const failed = deliveries.filter((_, index) => index % 2 === 0).slice(0, retries - again)
    again += failed.length
    settled += landed.length
    await consumer.settle([
      ...landed.map((delivery) => ({ delivery, landed: 1, dead: 0 })),
      ...failed.map((delivery) => ({ delivery, landed: 0, dead: 0, again: [redelivery(delivery)] })),
    ])
  }
  await consumer.close()
  return settled
}

function redelivery({ batch, attempt }: Delivery) {
  return { batch, attempt, dueAtMs: Date.now() }
}

/** The status every second, a replay, and the deletion of a group for which everything waits. */
async function largerCalls(log: EventLog, isOver: () => boolean): Promise<void> {
  const statuses = async () => {
    while (!isOver()) {
      await log.describe()
      await sleep(1000)
    }
  }
  const replay = async () => {
    for (let fromOffset: number | null = 0; !isOver(); fromOffset ??= 0)
      fromOffset = (await log.readSettled(streams[1]!, 'landing', { fromOffset, maxBytes: 1024 * 1024 })).nextOffset
  }
  await Promise.all([statuses(), replay(), log.dropGroup(topic, 'dropped')])
}
