import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Block, contests } from './contests.ts'
import { runBlockProgram } from './run-block.ts'
import { sizesByName } from './sizes.ts'

const program = fileURLToPath(new URL('run.ts', import.meta.url))
const run = (...words: string[]) => promisify(execFile)(process.execPath, [program, ...words])

/** The first block of each program. */
const blockOfProgram = new Map<string, Block>()
for (const { blocks } of contests(sizesByName.tiny, 200)) {
  for (const block of blocks) if (!blockOfProgram.has(block.program)) blockOfProgram.set(block.program, block)
}

for (const [name, block] of blockOfProgram) {
  test(`the benchmark's ${name} runs, has a figure and passes its gate`, { timeout: 120_000 }, async () => {
    const { result } = await runBlockProgram(block, 1)
    assert.deepEqual(result?.problems, [])
    assert.ok(result.events > 0 && result.seconds > 0, JSON.stringify(result))
  })
}

test('the benchmark prints a row for each ratio of a workload', { timeout: 120_000 }, async () => {
  const { stdout } = await run('W2', '--tiny', '--output', 'json')
  const { rows, runs, machine, durabilityLabels } = JSON.parse(stdout)
  assert.equal(rows.length, 1)
  assert.ok(rows[0].ratio.low > 0 && rows[0].cpuRatio.low > 0)
  assert.equal(runs.length, 2)
  for (const { result } of runs) assert.ok(durabilityLabels[result.durability])
  assert.equal(machine.node, process.version)
})

test('an option that the benchmark does not know is refused with its usage', async () => {
  await assert.rejects(run('W3'), ({ code, stderr }) => code === 2 && /W3 is no workload; there are W1/.test(stderr))
  await assert.rejects(run('--payload', '99'), ({ code, stderr }) => code === 2 && /100 to 10240/.test(stderr))
})
