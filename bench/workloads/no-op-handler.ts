// The handler of W7, which does nothing. It notes in a file when the first quarter of the events has been handled, and
// when all have.

import { defineHandler } from '../../src/index.ts'
import { writeNote } from '../notes.ts'

const events = Number(process.env.BENCH_EVENTS)
const directory = process.env.BENCH_DIRECTORY ?? '.'
let handled = 0

export function countHandled(more: number): void {
  const before = handled
  handled += more
  const warm = Math.ceil(events / 4)
  if (before < warm && handled >= warm) writeNote(directory, 'warm')
  if (handled === events) writeNote(directory, 'done')
}

const maxEvents = Number(process.env.BENCH_BATCH_EVENTS)
const limits: Readonly<Record<string, number>> = JSON.parse(process.env.BENCH_LIMITS ?? '{}')
const common = { group: 'bench', ...limits }

export const noOp =
  maxEvents === 1
    ? defineHandler({ ...common, handle: () => countHandled(1) })
    : defineHandler({ ...common, batch: { maxEvents }, handle: (batch) => countHandled(batch.length) })
