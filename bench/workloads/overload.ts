// W8: ten times the landing rate is offered, under each overflow policy; then the load ends and the backlog drains.
//
// The landing rate is measured while the backlog is full; then a multiple of it is offered, first to warm up, then to
// measure. Landing would keep up with ten times any load of one generator, so it can be slowed down by few events per
// transaction.

import { setTimeout as sleep } from 'node:timers/promises'
import { runBlock } from '../block.ts'
import { storedRowsProblems } from '../gate.ts'
import { LandedRows } from '../landed-rows.ts'
import { MessageFactory, type MessageShape } from '../messages.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { RssWatch } from '../rss-watch.ts'
import { Generator } from '../send-messages.ts'
import { type Service, startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface OverloadOptions {
  readonly policy: 'reject' | 'wait' | 'drop'
  readonly eventsPerMessage: number
  readonly payloadBytes: number
  readonly warmSeconds: number
  readonly seconds: number
  /** Offered load as a multiple of the landing rate. */
  readonly factor: number
  /** Events per landing transaction; null for the server's default. */
  readonly landingMaxEvents: number | null
  /** What is reported as its rate: what is taken in, or what lands meanwhile. */
  readonly counts: 'accepted' | 'landed'
  /** The server's backlog limit. */
  readonly maxWaitingEvents: number
}

const producers = 4
const mebibyte = 1024 * 1024

/** Polls until the backlog is empty; resolves with the ledger of the topic. */
async function drained(service: Service) {
  for (;;) {
    const { ledger } = await service.status()
    const row = ledger.find(({ topic }) => topic === 'events')
    if (row?.waiting === 0) return row
    await sleep(100)
  }
}

await runBlock((options: OverloadOptions) =>
  withTempDirectory(async (directory) => {
    const { policy, eventsPerMessage, payloadBytes, warmSeconds, factor, landingMaxEvents } = options
    const service = await startService(directory, {
      ...(landingMaxEvents !== null && { MILLRACE_LANDING_MAX_EVENTS: String(landingMaxEvents) }),
      MILLRACE_MAX_WAITING_EVENTS: String(options.maxWaitingEvents),
    })
    const landed = new LandedRows(directory)
    const watch = new RssWatch(service.pid)
    const method = 'PublishStream'
    const shape: MessageShape = { eventsPerMessage, payloadBytes }

    const fill = new MessageFactory({ ...shape, overflow: 'wait' })
    const filler = new Generator(service.address, producers, fill)
    const calibration = await filler.send({ method, seconds: warmSeconds })
    const eventsPerSecond = (factor * landed.count) / calibration.seconds
    filler.close()

    const messages = new MessageFactory({ ...shape, overflow: policy, startAfter: fill.events })
    const generator = new Generator(service.address, producers, messages)
    const warmUp = await generator.send({ method, seconds: warmSeconds, eventsPerSecond })
    const warm = watch.take()
    const landedBefore = landed.count
    const cpuBefore = cpuSecondsOf(service.pid)
    const load = await generator.send({ method, seconds: options.seconds, eventsPerSecond })
    const serviceCpuSeconds = cpuSecondsOf(service.pid) - cpuBefore
    const landedMeanwhile = landed.count - landedBefore
    const hot = watch.take()
    generator.close()

    const drainStartMs = performance.now()
    const ledger = await drained(service)
    const secondsUntilSteady = (performance.now() - drainStartMs) / 1000
    landed.close()
    watch.close()
    await service.stop()

    const accepted = calibration.accepted + warmUp.accepted + load.accepted
    const problems = storedRowsProblems(directory, accepted)
    const { waiting, landed: settled, dead, balanced } = ledger
    if (ledger.accepted !== accepted || settled !== accepted || dead !== 0 || balanced !== true) {
      const terms = `accepted ${ledger.accepted} = waiting ${waiting} + landed ${settled} + dead ${dead}`
      problems.push(`the ledger has ${terms}, balanced ${balanced}; the answers to the producers have ${accepted}`)
    }
    return {
      events: options.counts === 'landed' ? landedMeanwhile : load.accepted,
      seconds: load.seconds,
      serviceCpuSeconds,
      durability: 'disk',
      problems,
      details: {
        offered: load.offered,
        sent: load.sent,
        rejected: load.rejected,
        dropped: load.dropped,
        offeredPerLanded: load.offered / landedMeanwhile,
        landedPerSecond: Math.round(landedMeanwhile / load.seconds),
        rssWarmMiB: Math.round(warm.highestBytes / mebibyte),
        rssHighestMiB: Math.round(hot.highestBytes / mebibyte),
        rssGrowthMiB: Math.round((hot.highestBytes - warm.lastBytes) / mebibyte),
        secondsUntilSteady,
      },
    }
  }),
)
