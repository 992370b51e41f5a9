import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runMillraceProcess, startMillrace, temporaryDirectory } from './cli/run-millrace.test-support.ts'

test('a program that imports the package publishes to a running server (examples/publish-orders.ts)', async (t) => {
  const cwd = temporaryDirectory(t)
  const env = { MILLRACE_HTTP_PORT: '0', MILLRACE_GRPC_PORT: '0' }
  const { child } = startMillrace(t, ['start', '--output', 'json'], { cwd, env })
  const { grpc } = JSON.parse(await new Promise<string>((resolve) => child.stdout?.once('data', resolve)))
  const script = fileURLToPath(new URL('../examples/publish-orders.ts', import.meta.url))

  const { code, stdout, stderr } = await runMillraceProcess(t, ['500', grpc], { cwd, script })

  assert.deepEqual([code, stderr], [0, ''])
  assert.equal(stdout, 'shop.opened: accepted 1, durability disk\norder.placed: accepted 500, rejected 0\n')
})
