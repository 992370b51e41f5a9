import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'

function startDemo(t: TestContext, env: Record<string, string>) {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-demo-'))
  const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env
  const demo = spawn(process.execPath, [fileURLToPath(new URL('./demo.ts', import.meta.url)), '1'], {
    env: { PATH, NODE_COMPILE_CACHE, MILLRACE_DATA_DIR: dataDir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.after(async () => {
    // Not SIGKILL: the demo has to stop its server.
    if (demo.exitCode === null && demo.kill('SIGTERM')) await once(demo, 'exit')
    rmSync(dataDir, { recursive: true, force: true })
  })
  return demo
}

test('the demo starts the server, and every sample event of its five types becomes a row', async (t) => {
  const demo = startDemo(t, { MILLRACE_HTTP_PORT: '0', MILLRACE_GRPC_PORT: '0' })
  let output = ''
  for await (const chunk of demo.stdout.setEncoding('utf8')) {
    output += chunk
    if (output.includes('The server runs on')) break
  }
  assert.match(output, /HTTP +http:\/\/127\.0\.0\.1:\d+\n/)
  assert.match(output, /500 events accepted, 500 rows landed/)
  const table = output.slice(output.lastIndexOf('type  '))
  const rows = [...table.matchAll(/^ +([a-z]+\.[a-z]+) +(\d+)$/gm)].map(([, , count]) => Number(count))
  assert.deepEqual(rows, [200, 150, 80, 50, 20])

  demo.kill('SIGTERM')
  assert.deepEqual(await once(demo, 'exit'), [0, null])
})

test('the demo reports an invalid setting like the server', async (t) => {
  const demo = startDemo(t, { MILLRACE_HTTP_PORT: 'eighty' })
  let said = ''
  demo.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk
  })
  assert.deepEqual(await once(demo, 'close'), [1, null])
  assert.match(said, /^a setting is wrong:\n {2}MILLRACE_HTTP_PORT is "eighty": .*\n$/)
})
