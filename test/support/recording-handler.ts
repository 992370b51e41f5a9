// A handler module whose attempts can be read after its process was killed: each begin and end is a line of a file.

import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineHandler } from '../../src/workers/define-handler.ts'

const path = process.env.RECORDS ?? ''
let atWork = 0

const record = (...words: readonly unknown[]) => appendFileSync(path, `${words.join(' ')}\n`)

/** `{"groupConcurrency":3}` for example. */
const limits = JSON.parse(process.env.LIMITS ?? '{}')

export const recording = defineHandler({
  group: 'recorder',
  concurrency: 16,
  ordered: process.env.ORDERED === 'true',
  onExhausted: process.env.HOLDS === 'true' ? 'hold' : 'dead-letter',
  retry: { maxAttempts: Number(process.env.MAX_ATTEMPTS), initialDelayMs: 10 },
  ...limits,
  async handle({ id, type, json }, { attempt }) {
    record('begin', id, attempt, ++atWork, process.pid, Date.now())
    if (type === 'exit') process.exit(9)
    const { workMs, failures = 0 } = json() as { readonly workMs: number; readonly failures?: number }
    if (workMs > 0) await sleep(workMs)
    atWork--
    if (attempt <= failures) throw new Error('it fails as it was told')
    record('end', id, attempt, atWork, process.pid)
  },
})
