// Watches the server's counter of landed rows. The gate compares the rows with the database afterwards.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Service } from './service.ts'

const pollMs = 50
const giveUpAfterMs = 60_000

/** Resolves with the number of landed rows when it reaches `rows`. Rejects after a minute without progress. */
export async function reachLanded(service: Service, rows: number): Promise<number> {
  let last = -1
  let lastChangeMs = performance.now()
  for (;;) {
    const landed = await service.counter('millrace_landing_rows_total')
    if (landed >= rows) return landed
    const nowMs = performance.now()
    if (landed !== last) {
      last = landed
      lastChangeMs = nowMs
    } else if (nowMs - lastChangeMs > giveUpAfterMs) {
      throw new Error(`landing made no progress for a minute, at ${landed} of ${rows} rows`)
    }
    await sleep(pollMs)
  }
}
