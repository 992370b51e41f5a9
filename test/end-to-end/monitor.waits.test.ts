// `millrace monitor` with a real server: text lines, JSON lines, and the screen.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { FakeTerminal } from '../../src/cli/monitor/fake-terminal.test-support.ts'
import { followStatus } from '../../src/cli/monitor/follow-status.ts'
import { MonitorState } from '../../src/cli/monitor/monitor-state.ts'
import { openScreen } from '../../src/cli/monitor/screen.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf, publish } from '../support/publish.ts'
import { runCommand } from '../support/run-command.ts'
import { inherited, projectRoot, startServer, testedNodeArguments } from '../support/server-process.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

interface MonitorLine {
  readonly at: string
  readonly away?: { readonly since: string; readonly reason: string }
  readonly status?: { readonly ledger: readonly { readonly topic: string; readonly landed: number }[] }
  readonly observations?: { readonly landing: { readonly rows: number }; readonly store: object | null }
  readonly rates?: { readonly accepted: number | null; readonly landed: number | null }
  readonly warnings?: readonly { readonly code: string; readonly message: string }[]
}

/** Starts the command; its lines are read as they arrive. */
function startMonitor(t: TestContext, dataDir: string, ...words: string[]) {
  const child = spawn(
    process.execPath,
    [...testedNodeArguments, join(projectRoot, 'src/cli/main.ts'), 'monitor', ...words],
    {
      env: { ...inherited(), MILLRACE_DATA_DIR: dataDir },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  cleanup(t, async () => {
    child.kill('SIGKILL')
    await ended
  })
  const lines: string[] = []
  createInterface(child.stdout).on('line', (line) => lines.push(line))
  return { child, lines, ended }
}

test('monitor prints a line for each interval, and ends after the given number of seconds', async (t) => {
  const server = await startInProcess(t)
  await publish(server, 'events', orders(40))
  await drained(server)
  const env = { MILLRACE_ADDRESS: server.grpc }
  const beganMs = performance.now()

  const { code, stdout, stderr } = await runCommand(['monitor', '2', '--interval', '0.5'], {
    dataDir: tempDirectory(t),
    env,
  })

  const elapsedMs = performance.now() - beganMs
  assert.ok(elapsedMs >= 2000, `it ended after ${elapsedMs} ms`)
  assert.deepEqual([code, stderr], [0, ''])
  const lines = stdout.trimEnd().split('\n')
  assert.ok(lines.length >= 3 && lines.length <= 5, stdout)
  assert.match(
    lines.at(-1)!,
    /^\d{4}-\d\d-\d\dT[\d:.]+Z accepted 0\/s, landed 0\/s, rejected 0\/s, dead 0\/s, waiting 0, oldest –, in flight 0, dead letters 0$/,
  )
})

test('monitor prints a JSON document for each interval, reports when the server is unreachable, and reconnects', async (t) => {
  const server = await startServer(t)
  const { lines, child, ended } = startMonitor(t, server.dataDir, '--output', 'json', '--interval', '0.2')
  const parsed = () => lines.map((line) => JSON.parse(line) as MonitorLine)
  const seen = (what: string, isIt: (line: MonitorLine) => boolean, from = 0) =>
    eventually(() => assert.ok(parsed().slice(from).some(isIt)), { what })

  await seen('a first status', ({ status }) => status !== undefined)
  await publish(server, 'events', orders(500))
  await seen('the events', ({ rates }) => (rates?.accepted ?? 0) > 0 && (rates?.landed ?? 0) > 0)
  await seen('their rows', ({ observations }) => observations?.landing.rows === 500 && observations.store !== null)
  await server.kill()
  await seen('the server as unreachable', ({ away }) => away !== undefined)
  await server.start()
  const restarted = lines.length
  await seen('it again', ({ status }) => status?.ledger.some(({ landed }) => landed === 500) === true, restarted)

  child.kill('SIGINT')
  assert.equal(await ended, 130)
  const away = parsed().find((line) => line.away !== undefined)!
  assert.ok(Date.parse(away.away!.since) <= Date.parse(away.at))
  assert.notEqual(away.away!.reason, '')
})

test('monitor prints text lines while no server answers, keeps retrying, and fails when its time is over', async (t) => {
  const env = { MILLRACE_ADDRESS: '127.0.0.1:1' }
  const result = await runCommand(['monitor', '1', '--interval', '0.2'], { dataDir: tempDirectory(t), env })

  assert.equal(result.code, 1)
  const lines = result.stdout.trimEnd().split('\n')
  assert.ok(lines.length >= 2 && lines.length <= 6, result.stdout)
  for (const line of lines) {
    assert.match(line, /no answer since [\d:.TZ-]+: no Millrace server answers at 127\.0\.0\.1:1; retrying$/)
  }
  assert.equal(result.stderr, 'millrace: no Millrace server answers at 127.0.0.1:1\n')
})

test('monitor refuses invalid arguments', async (t) => {
  const dataDir = tempDirectory(t)
  for (const words of [['0'], ['soon'], ['1', '2'], ['--interval', '0.1'], ['--interval', '61'], ['--interval', 'x']]) {
    const { code, stdout } = await runCommand(['monitor', ...words], { dataDir })
    assert.deepEqual([code, stdout], [2, ''], words.join(' '))
  }
})

test('the screen shows the state of a real server', async (t) => {
  const server = await startInProcess(t)
  const client = clientOf(t, server)
  const terminal = new FakeTerminal(80, 24)
  const state = new MonitorState(Date.now())
  const screen = openScreen({
    state,
    paint: (_style, text) => text,
    stdout: terminal as unknown as NodeJS.WriteStream,
    stdin: terminal.stdin as unknown as NodeJS.ReadStream,
    onQuit: () => {},
  })
  cleanup(t, () => screen.close())
  const stop = new AbortController()
  const following = followStatus(client, {
    intervalMs: 200,
    signal: stop.signal,
    onObserved: (observed) => {
      state.update(observed, Date.now())
      screen.draw()
    },
    onUnreachable: (reason) => assert.fail(reason),
  })
  cleanup(t, async () => {
    stop.abort()
    await following
  })
  await eventually(() => assert.match(terminal.text, /^millrace 0\.0\.0, up /m))
  await publish(server, 'events', [...orders(300), ...orders(100, { type: 'order.paid' })])

  await eventually(() => {
    assert.ok(state.past.accepted.some((rate) => rate !== null && rate > 0))
    for (const words of [
      /^durability disk \(sqlite-wal\) · log embedded, epoch 1 · store sqlite, up$/m,
      /^accepted +[\d,.]+ .*█/m,
      /^landed +[\d,.]+ .*█/m,
      /^events +landing +0 +– +0 +[\d,.]+ +running$/m,
      /NEWEST 400 EVENTS BY TYPE$/m,
      /order\.placed +300 █+$/m,
      /order\.paid +100 █+$/m,
      /^size +events table [\d.]+ [KM]iB · log files [\d.]+ [KM]iB$/m,
      /^dead +dead letters 0$/m,
    ]) {
      assert.match(terminal.text, words)
    }
  })
  assert.equal(terminal.overflowed, false)
})
