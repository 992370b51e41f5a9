// Runs the blocks of a contest in alternating order: A B, B A, A B ... (ABBA), so that a drift of the machine averages out.

import type { Contest } from './contests.ts'
import { type BlockRun, runBlockProgram } from './run-block.ts'

export async function runContest(contest: Contest, onRun: (run: BlockRun) => void): Promise<BlockRun[]> {
  const runs: BlockRun[] = []
  for (let round = 1; round <= contest.rounds; round++) {
    const blocks = round % 2 === 1 ? contest.blocks : contest.blocks.toReversed()
    for (const block of blocks) {
      const run = await runBlockProgram(block, round)
      onRun(run)
      runs.push(run)
    }
  }
  return runs
}
