import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Running, runMillrace, startMillrace, temporaryDirectory } from './run-millrace.test-support.ts'

const packageDoor = fileURLToPath(new URL('../index.ts', import.meta.url))

const anyPorts = { MILLRACE_HTTP_PORT: '0', MILLRACE_GRPC_PORT: '0' }

interface Greeting {
  readonly version: string
  readonly http: string
  readonly grpc: string
  readonly data_dir: string
}

/** Runs `millrace start`; resolves when it has printed that it is ready. */
async function startServer(
  t: TestContext,
  cwd: string,
  ...more: readonly string[]
): Promise<Running & { readonly greeting: Greeting }> {
  const running = startMillrace(t, ['start', '--output', 'json', ...more], { cwd, env: anyPorts })
  const line = await new Promise<string>((resolve, reject) => {
    running.child.stdout?.once('data', resolve)
    running.ended.then(({ stderr }) => reject(new Error(`the server did not start: ${stderr}`)))
  })
  return { ...running, greeting: JSON.parse(line) }
}

test('start prints its addresses and a curl command that works', async (t) => {
  const cwd = temporaryDirectory(t)
  const { child, ended } = startMillrace(t, ['start'], { cwd, env: anyPorts })
  let text = ''
  child.stdout?.on('data', (part: string) => {
    text += part
  })
  while (!text.includes('curl')) await sleep(10)

  const [, contentType, event, url] = /curl -H 'content-type: (.+?)' -d '(.+?)' (http\S+)/.exec(text) ?? []
  const answer = await fetch(url!, { method: 'POST', headers: { 'content-type': contentType! }, body: event! })
  child.kill('SIGTERM')
  const { code, signal } = await ended

  assert.equal(answer.status, 202)
  assert.match(
    text,
    /is ready\.\n {2}console {2}http:\/\/127\.0\.0\.1:\d+\/\n {2}HTTP {5}http:\/\/127\.0\.0\.1:\d+\n {2}gRPC {5}127\.0\.0\.1:\d+\n/,
  )
  assert.ok(text.includes(join(cwd, 'data')))
  assert.deepEqual([code, signal], [0, null])
})

test('start --paused accepts and lands, and no handler works until its group is resumed, also after a restart', async (t) => {
  const cwd = temporaryDirectory(t)
  const [module, seen] = [join(cwd, 'handler.ts'), join(cwd, 'seen')]
  const handle = `() => appendFileSync('${seen}', 'x')`
  writeFileSync(
    module,
    `import { appendFileSync } from 'node:fs'
    import { defineHandler } from '${packageDoor}'
    export default defineHandler({ group: 'mailer', handle: ${handle} })`,
  )
  const groupNamed = async (name: string) => {
    const { stdout } = await runMillrace(['groups', 'list', '--output', 'json'], { cwd })
    return JSON.parse(stdout).groups.find(({ group }: { readonly group: string }) => group === name)
  }
  /** Publishes events to a server, waits until they have landed, and stops it. */
  const landWith = async (events: number, ...flags: readonly string[]) => {
    const { child, ended } = await startServer(t, cwd, ...flags)
    await runMillrace(['produce', String(events), '--batch', '1'], { cwd })
    while ((await groupNamed('landing')).waiting > 0) await sleep(10)
    child.kill('SIGTERM')
    assert.equal((await ended).code, 0)
  }
  await landWith(20)
  await landWith(5, '--paused', '--handlers', module)

  await startServer(t, cwd, '--handlers', module)
  const state = { is: 'paused', by: 'person', reason: 'started with --paused', since: null }
  assert.partialDeepStrictEqual(await groupNamed('mailer'), { waiting: 25, ready: 25, state })
  for (const own of ['landing', 'dead']) assert.equal((await groupNamed(own)).state.is, 'running')
  assert.equal(existsSync(seen), false)
  await runMillrace(['groups', 'resume', 'mailer'], { cwd })
  while (!existsSync(seen) || readFileSync(seen, 'utf8').length < 25) await sleep(10)
})

test('produce and status find the server through the data directory, and status prints the document of GET /v1/status', async (t) => {
  const cwd = temporaryDirectory(t)
  const { greeting } = await startServer(t, cwd)

  const produced = await runMillrace(['produce', '2000'], { cwd })
  assert.match(produced.stdout, /^accepted 2000, dropped 0, rejected 0 in /)
  const status = await settledStatus(cwd)
  const overHttp = await (await fetch(`http://${greeting.http}/v1/status`)).json()
  const table = await runMillrace(['status'], { cwd })

  const { uptime_seconds: uptime, ...rest } = status as Record<string, unknown>
  const { uptime_seconds: uptimeOverHttp, ...restOverHttp } = overHttp as Record<string, unknown>
  assert.deepEqual(rest, restOverHttp)
  assert.ok(Number(uptimeOverHttp) >= Number(uptime))
  assert.match(table.stdout, /^events +landing +2,000 +0 +0 +2,000 +0 +0 +yes$/m)
  assert.match(table.stdout, /^millrace \d.*\nlog embedded .*durability disk\nstore sqlite, up\n/)
})

/** Resolves with the status when everything has landed. */
async function settledStatus(cwd: string): Promise<object> {
  for (;;) {
    const { stdout } = await runMillrace(['status', '--output', 'json'], { cwd })
    const status = JSON.parse(stdout)
    if (status.ledger.every(({ waiting }: { waiting: number }) => waiting === 0)) return status
  }
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`a second ${signal} ends a server that is still stopping, unless it arrives within a second`, async (t) => {
    const { child, ended, greeting } = await startServer(t, temporaryDirectory(t))
    await keepBusy(t, greeting.http)
    const since = performance.now()

    child.kill(signal)
    await sleep(200)
    child.kill(signal)
    await sleep(1000)
    assert.equal(child.exitCode, null, 'a second signal within a second must be ignored')
    child.kill(signal)
    const end = await ended

    // Ended by the signal itself, which a shell reports as 143 or 130.
    assert.deepEqual([end.code, end.signal], [null, signal])
    assert.ok(performance.now() - since < 3000)
  })
}

/** Leaves the body of a request unfinished, so that a stopping server waits for it. */
async function keepBusy(t: TestContext, http: string): Promise<void> {
  const headers = { 'content-type': 'application/json', expect: '100-continue' }
  const upload = request(`http://${http}/v1/events`, { method: 'POST', headers })
  upload.on('error', () => {})
  t.after(() => upload.destroy())
  upload.flushHeaders()
  await once(upload, 'continue')
}

test('a server keeps running when its stdout and stderr are closed', async (t) => {
  const cwd = temporaryDirectory(t)
  const { child, ended } = startMillrace(t, ['start', '--log-level', 'trace'], { cwd, env: anyPorts })
  child.stdout?.destroy()
  child.stderr?.destroy()
  while (!existsSync(join(cwd, 'data/addresses.json'))) await sleep(10)

  const produced = await runMillrace(['produce', '10'], { cwd })
  child.kill('SIGTERM')
  const { code } = await ended

  assert.match(produced.stdout, /^accepted 10,/)
  assert.equal(code, 0)
})

test('a limit of open files that is too low is refused with the fix, by start and by doctor', async (t) => {
  const cwd = temporaryDirectory(t)
  const wrapper = ['sh', '-c', 'ulimit -n 32; exec "$@"', 'sh']
  const [start, doctor] = await Promise.all([
    startMillrace(t, ['start'], { cwd, env: anyPorts, wrapper }).ended,
    startMillrace(t, ['doctor'], { cwd, env: anyPorts, wrapper }).ended,
  ])
  const problem = /the process may have 32 files open, and a server needs 256 .*ulimit -n/
  assert.deepEqual([start.code, doctor.code], [1, 1])
  assert.match(start.stderr, problem)
  assert.equal(start.stderr.split('\n').length, 2, 'one line, no stack trace')
  assert.match(doctor.stdout, problem)
})

test('SIGUSR1 does not open the inspector', async (t) => {
  const { child, ended, greeting } = await startServer(t, temporaryDirectory(t))
  child.kill('SIGUSR1')
  assert.equal((await fetch(`http://${greeting.http}/livez`)).status, 200)
  child.kill('SIGTERM')
  const { code, stderr } = await ended
  assert.equal(code, 0)
  assert.doesNotMatch(stderr, /Debugger listening/)
})

test('a signal during start stops the server cleanly', async (t) => {
  const cwd = temporaryDirectory(t)
  const { child, ended } = startMillrace(t, ['start'], { cwd, env: anyPorts })
  while (!existsSync(join(cwd, 'data/log.db'))) await sleep(1)

  child.kill('SIGTERM')
  const { code, signal } = await ended

  assert.deepEqual([code, signal], [0, null])
  assert.equal(existsSync(join(cwd, 'data/addresses.json')), false)
})
