// The handler of a queue of slow jobs. It notes when it begins with a high event.

import { setTimeout as sleep } from 'node:timers/promises'
import { defineHandler } from '../../src/index.ts'
import { writeNote } from '../notes.ts'

const workMs = Number(process.env.BENCH_WORK_MS)
const directory = process.env.BENCH_DIRECTORY ?? '.'

export const slow = defineHandler({
  group: 'bench',
  async handle({ priority }) {
    if (priority === 'high') writeNote(directory, 'high')
    await sleep(workMs)
  },
})
