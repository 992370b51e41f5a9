// The time until a server accepts calls, on a data directory with a large log.

import { setTimeout as sleep } from 'node:timers/promises'
import { runBlock } from '../block.ts'
import { fillLog } from '../fill-log.ts'
import { startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface ReadyOptions {
  readonly logBytes: number
  readonly eventsPerMessage: number
  readonly payloadBytes: number
}

/** Approximate bytes of an event besides its payload. */
const envelopeBytes = 67

await runBlock(({ logBytes, eventsPerMessage, payloadBytes }: ReadyOptions) =>
  withTempDirectory(async (directory) => {
    const wanted = Math.ceil(logBytes / (payloadBytes + envelopeBytes))
    const filled = await fillLog(directory, wanted, { eventsPerMessage, payloadBytes })
    await filled.service.crash()
    const afterCrash = await startService(directory)
    await sleep(200)
    await afterCrash.stop()
    const afterStop = await startService(directory)
    const status = await afterStop.status()
    await afterStop.stop()
    const accepted = status.ledger.find(({ topic }) => topic === 'events')?.accepted
    return {
      events: filled.events,
      seconds: Math.max(afterCrash.startedInSeconds, afterStop.startedInSeconds),
      serviceCpuSeconds: 0,
      durability: 'disk',
      problems: accepted === filled.events ? [] : [`${accepted} events are in the log, expected ${filled.events}`],
      details: {
        readyAfterCrashSeconds: afterCrash.startedInSeconds,
        readyAfterStopSeconds: afterStop.startedInSeconds,
      },
    }
  }),
)
