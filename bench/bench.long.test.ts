import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Block, contests } from './contests.ts'
import { findPython } from './peers/python-loop/python.ts'
import { runBlockProgram } from './run-block.ts'
import { sizesByName } from './sizes.ts'

const program = fileURLToPath(new URL('run.ts', import.meta.url))
const run = (...words: string[]) => promisify(execFile)(process.execPath, [program, ...words])

const all = contests(sizesByName.tiny, 200)
const wholeWorkload = all.filter(({ id }) => id === 'W2')

/** One block of each program that the test of a whole workload does not run. */
const blockOfProgram = new Map<string, Block>()
const isShown = (block: Block) =>
  wholeWorkload.some(({ blocks }) => blocks.some(({ program }) => program === block.program))
for (const { blocks } of all) {
  for (const block of blocks) {
    if (!blockOfProgram.has(block.program) && !isShown(block)) blockOfProgram.set(block.program, block)
  }
}

for (const [name, block] of blockOfProgram) {
  test(`the benchmark's ${name} runs, has a result and passes its gate`, { timeout: 120_000 }, async (t) => {
    const { result, absent } = await runBlockProgram(block, 1)
    // A peer may be missing on this machine.
    if (absent !== null && block.program.startsWith('peers/')) return t.skip(absent)
    assert.deepEqual(result?.problems, [])
    assert.ok(result.events > 0 && result.seconds > 0, JSON.stringify(result))
  })
}

test('the benchmark prints a row for each ratio and bound of a workload, and each block passes its gate', {
  timeout: 120_000,
}, async () => {
  const { stdout } = await run('W2', '--tiny', '--output', 'json')
  const { rows, runs, machine, durabilityLabels } = JSON.parse(stdout)
  const asked = wholeWorkload.flatMap(({ comparisons, bounds }) => [...comparisons, ...bounds])
  assert.deepEqual(
    rows.map(({ measure }: { measure: string }) => measure),
    asked.map(({ measure }) => measure),
  )
  assert.equal(runs.length, wholeWorkload.flatMap(({ blocks }) => blocks).length)
  for (const { name, result, absent } of runs) {
    // A peer may be missing on this machine, and then the reason is printed; nothing else may be missing.
    if (name === 'Python loop' && findPython() === null) assert.match(absent, /apt-get install/)
    else assert.deepEqual(result?.problems, [], name)
    if (result !== null) assert.ok(durabilityLabels[result.durability])
  }
  for (const row of rows) {
    if (row.kind === 'bound') assert.ok(row.value >= 0, row.measure)
    else assert.ok(row.absent !== null || (row.ratio.low > 0 && row.cpuRatio.low > 0), row.measure)
  }
  assert.equal(machine.node, process.version)
})
