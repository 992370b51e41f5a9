import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { settings } from '../config/config-table.ts'
import { runMillrace, runMillraceProcess, startMillrace, temporaryDirectory } from './run-millrace.test-support.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

test('help and version are printed to stdout with exit code 0', async (t) => {
  const cwd = temporaryDirectory(t)
  const help = await runMillrace(['--help'], { cwd })
  assert.deepEqual([help.code, help.stderr], [0, ''])
  assert.match(help.stdout, /Usage: millrace .*start.*produce.*status.*check-config.*doctor.*clean/s)
  assert.deepEqual(await runMillrace(['--version'], { cwd }), {
    code: 0,
    stdout: `${version}\n`,
    stderr: '',
  })
  const said = await runMillrace(['version', '--output', 'json'], { cwd })
  assert.deepEqual(JSON.parse(said.stdout), { version, node: process.version, sqlite: process.versions.sqlite })
})

test('wrong usage is reported on stderr, with exit code 2', async (t) => {
  const cwd = temporaryDirectory(t)
  for (const words of [[], ['strat'], ['status', '--colour'], ['status', 'extra'], ['status', '--output', 'xml']]) {
    const { code, stdout, stderr } = await runMillrace(words, { cwd })
    assert.deepEqual([code, stdout], [2, ''], words.join(' '))
    assert.ok(stderr.length > 0)
  }
  assert.match((await runMillrace(['strat'], { cwd })).stderr, /Did you mean start\?/)
})

test('check-config prints each setting with its source: a flag precedes its variable, which precedes the default', async (t) => {
  const cwd = temporaryDirectory(t)
  const env = { MILLRACE_HTTP_PORT: '9000', MILLRACE_GRPC_PORT: '9001' }
  const words = ['check-config', '--grpc-port', '9002', '--data-dir', 'here']

  const { code, stdout } = await runMillrace([...words, '--output', 'json'], { cwd, env })
  const table = await runMillrace(words, { cwd, env })

  assert.equal(code, 0)
  const shown: { variable: string; value: string; source: string }[] = JSON.parse(stdout).settings
  assert.deepEqual(
    shown.map(({ variable }) => variable),
    settings.map(({ variable }) => variable),
  )
  const of = (name: string) => shown.find(({ variable }) => variable === name)
  assert.deepEqual(of('MILLRACE_HTTP_PORT'), { variable: 'MILLRACE_HTTP_PORT', value: '9000', source: 'environment' })
  assert.deepEqual(of('MILLRACE_GRPC_PORT'), { variable: 'MILLRACE_GRPC_PORT', value: '9002', source: 'flag' })
  assert.equal(of('MILLRACE_DATA_DIR')?.value, join(cwd, 'here'))
  assert.equal(of('MILLRACE_HOST')?.source, 'default')
  assert.match(table.stdout, /^MILLRACE_GRPC_PORT +9002 +flag$/m)
})

test('check-config reports every invalid setting, with exit code 1', async (t) => {
  const cwd = temporaryDirectory(t)
  const env = { MILLRACE_HTTP_PORT: 'many', MILLRACE_TOPICS: 'A', MILLRACE_COLOUR: 'red' }

  const { code, stdout, stderr } = await runMillrace(['check-config', '--grpc-port', '70000'], { cwd, env })
  const json = await runMillrace(['check-config', '--output', 'json'], { cwd, env })

  assert.deepEqual([code, stdout], [1, ''])
  for (const name of ['MILLRACE_HTTP_PORT', '--grpc-port', 'MILLRACE_TOPICS', 'MILLRACE_COLOUR']) {
    assert.ok(stderr.includes(name), name)
  }
  assert.equal(json.code, 1)
  assert.deepEqual(
    JSON.parse(json.stdout).problems.map(({ variable }: { variable: string }) => variable),
    ['MILLRACE_HTTP_PORT', 'MILLRACE_TOPICS', 'MILLRACE_COLOUR'],
  )
})

test('an invalid setting stops every command before it takes effect', async (t) => {
  const cwd = temporaryDirectory(t)
  for (const command of ['start', 'status', 'doctor', 'clean']) {
    const { code, stdout, stderr } = await runMillraceProcess(t, [command], {
      cwd,
      env: { MILLRACE_LOG_LEVEL: 'loud' },
    })
    assert.deepEqual([code, stdout], [1, ''], command)
    assert.match(stderr, /^millrace: a setting is wrong:\n {2}MILLRACE_LOG_LEVEL is "loud"/, command)
  }
})

test('status without a server reports the address that it tried', async (t) => {
  const cwd = temporaryDirectory(t)
  const { code, stdout, stderr } = await runMillrace(['status', '--address', '127.0.0.1:1'], { cwd })
  assert.deepEqual([code, stdout], [1, ''])
  assert.equal(stderr, 'millrace: no Millrace server answers at 127.0.0.1:1\n')
})

test('a command ends without an error when the reader of its stdout closes the pipe', async (t) => {
  const cwd = temporaryDirectory(t)
  const { child, ended } = startMillrace(t, ['check-config'], { cwd })
  child.stdout?.destroy()
  const { code, stderr } = await ended
  assert.deepEqual([code, stderr], [0, ''])
})

test('there are no colours without a terminal, unless FORCE_COLOR is set', async (t) => {
  const cwd = temporaryDirectory(t)
  const colored = async (env: Record<string, string>, ...words: string[]) =>
    (await runMillraceProcess(t, ['check-config', ...words], { cwd, env })).stdout.includes('\x1b')
  assert.equal(await colored({}), false)
  assert.equal(await colored({ FORCE_COLOR: '1' }), true)
  assert.equal(await colored({ FORCE_COLOR: '1' }, '--no-color'), false)
})
