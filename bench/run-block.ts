// Runs one block as a separate process, and measures what else the machine did meanwhile.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Absence, BlockResult } from './block.ts'
import type { Block } from './contests.ts'
import { cpuSecondsOfEndedChildren, machineSeconds } from './process-usage.ts'
import { nodeArguments } from './program.ts'

export interface BlockRun {
  readonly name: string
  readonly round: number
  /** Null when the program failed, or what it measures is not installed. */
  readonly result: BlockResult | null
  /** Why there was nothing to measure, and what to install; else null. */
  readonly absent: string | null
  /** Shares of all cores' time, 0 to 1: taken by the hypervisor, and used by other processes. */
  readonly stolen: number
  readonly foreign: number
}

const maxStolen = 0.02
const maxForeign = 0.1

/** Whether other load on the machine makes the run's results unusable. */
export function isDisturbed({ stolen, foreign }: BlockRun): boolean {
  return stolen > maxStolen || foreign > maxForeign
}

export function isValid({ result }: BlockRun): boolean {
  return result !== null && result.problems.length === 0
}

export async function runBlockProgram(block: Block, round: number): Promise<BlockRun> {
  const before = machineSeconds()
  const ownBefore = cpuSecondsOfEndedChildren()
  const outcome = await outcomeOf(block)
  const after = machineSeconds()
  const own = cpuSecondsOfEndedChildren() - ownBefore
  const total = after.total - before.total
  return {
    name: block.name,
    round,
    result: outcome !== null && 'absent' in outcome ? null : outcome,
    absent: outcome !== null && 'absent' in outcome ? outcome.absent : null,
    stolen: (after.stolen - before.stolen) / total,
    foreign: Math.max(0, after.busy - before.busy - own) / total,
  }
}

async function outcomeOf({ program, options }: Block): Promise<BlockResult | Absence | null> {
  const file = fileURLToPath(new URL(`./${program}.ts`, import.meta.url))
  const child = spawn(process.execPath, [...nodeArguments, file, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const [code] = await once(child, 'close')
  return code === 0 ? JSON.parse(output) : null
}
