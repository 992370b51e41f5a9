import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const program = fileURLToPath(new URL('run.ts', import.meta.url))
const run = (...words: string[]) => promisify(execFile)(process.execPath, [program, ...words])

test('the benchmark refuses wrong arguments and prints its usage', async () => {
  await assert.rejects(
    run('W3'),
    ({ code, stderr }) => code === 2 && /W3 is not a workload; choose from W1/.test(stderr),
  )
  await assert.rejects(run('--payload', '99'), ({ code, stderr }) => code === 2 && /100 to 10240/.test(stderr))
})
