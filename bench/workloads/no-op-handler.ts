// The handler of W7, which does nothing. It notes in a file when the first quarter of the events has been handled, and
// when all have.

import { writeFileSync } from 'node:fs'
import { defineHandler } from '../../src/index.ts'

/** What the handler writes: milliseconds since 1970, and the CPU time of its process in seconds. */
export interface HandlerNote {
  readonly atMs: number
  readonly cpuSeconds: number
}

const events = Number(process.env.BENCH_EVENTS)
const directory = process.env.BENCH_DIRECTORY ?? '.'
let handled = 0

function note(name: string): void {
  const { user, system } = process.cpuUsage()
  const text: HandlerNote = { atMs: Date.now(), cpuSeconds: (user + system) / 1e6 }
  writeFileSync(`${directory}/${name}.json`, JSON.stringify(text))
}

function count(more: number): void {
  const before = handled
  handled += more
  const warm = Math.ceil(events / 4)
  if (before < warm && handled >= warm) note('warm')
  if (handled === events) note('done')
}

const maxEvents = Number(process.env.BENCH_BATCH_EVENTS)
const group = 'bench'

export const noOp =
  maxEvents === 1
    ? defineHandler({ group, handle: () => count(1) })
    : defineHandler({ group, batch: { maxEvents }, handle: (batch) => count(batch.length) })
