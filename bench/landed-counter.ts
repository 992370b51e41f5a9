// Watches the server's own counter of rows while it lands them. What it says is held against the database afterwards.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Service } from './service.ts'

const lookMs = 50
const giveUpAfterMs = 60_000

/** Resolves when so many rows have landed, with their number. Rejects when none has come for a minute. */
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
      throw new Error(`landing stands still at ${landed} of ${rows} rows`)
    }
    await sleep(lookMs)
  }
}
