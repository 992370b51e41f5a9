// Tests of bin/millrace.mjs, which must also run on a Node that is too old for the rest of Millrace.

import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { runMillraceProcess, startMillrace, temporaryDirectory } from './run-millrace.test-support.ts'

const launcher = fileURLToPath(new URL('../../bin/millrace.mjs', import.meta.url))

/** A launcher that considers this Node too old, so that it must find another one. */
function strictLauncher(t: TestContext): string {
  const script = join(temporaryDirectory(t), 'strict.mjs')
  const text = readFileSync(launcher, 'utf8').replace('[24, 15]', '[99, 0]')
  writeFileSync(script, text.replace('import.meta.url', JSON.stringify(`file://${launcher}`)))
  return script
}

test('on a Node that is new enough the launcher runs the program in its own process', async (t) => {
  const { code, stdout, stderr } = await runMillraceProcess(t, ['version'], {
    cwd: temporaryDirectory(t),
    script: launcher,
  })
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(stdout, /^millrace \d/)
})

test('on an older Node it runs the Node of node_modules, and passes on arguments, output and exit code', async (t) => {
  const cwd = temporaryDirectory(t)
  const script = strictLauncher(t)
  const direct = await runMillraceProcess(t, ['version'], { cwd, script: launcher })
  assert.deepEqual(await runMillraceProcess(t, ['version'], { cwd, script }), direct)
  assert.equal((await runMillraceProcess(t, ['nonsense'], { cwd, script })).code, 2)
})

test('it forwards signals, and exits as the program does', async (t) => {
  const cwd = temporaryDirectory(t)
  const words = ['start', '--http-port', '0', '--grpc-port', '0']
  const { child, ended } = startMillrace(t, words, { cwd, script: strictLauncher(t) })
  while (!existsSync(join(cwd, 'data/addresses.json'))) await sleep(20)

  child.kill('SIGTERM')
  const { code, signal } = await ended

  assert.deepEqual([code, signal], [0, null])
  assert.equal(existsSync(join(cwd, 'data/holder.json')), false, 'the server must have stopped, not only its launcher')
})

test('under npx and npm scripts, SIGTERM to their shell alone stops the server', async (t) => {
  const cases = [
    [launcher, "'millrace'"],
    [strictLauncher(t), 'millrace start --log-level warn'],
  ] as const
  await Promise.all(
    cases.map(async ([script, lifecycleScript]) => {
      // Like the shell that npm starts: dash waits for the program instead of becoming it.
      const env = { npm_lifecycle_script: lifecycleScript, MILLRACE_HTTP_PORT: '0', MILLRACE_GRPC_PORT: '0' }
      const cwd = temporaryDirectory(t)
      const wrapper = ['sh', '-c', '"$@"; exit', 'npx']
      const { child, ended } = startMillrace(t, ['start'], { cwd, env, script, wrapper })
      while (!existsSync(join(cwd, 'data/addresses.json'))) await sleep(20)
      const { pid } = JSON.parse(readFileSync(join(cwd, 'data/holder.json'), 'utf8'))
      t.after(() => {
        if (existsSync(join(cwd, 'data/holder.json'))) process.kill(pid, 'SIGKILL')
      })
      assert.notEqual(pid, child.pid)

      child.kill('SIGTERM')

      // It ends when the server, which has the same output, has ended.
      assert.equal((await ended).signal, 'SIGTERM')
      assert.equal(existsSync(join(cwd, 'data/holder.json')), false)
    }),
  )
})

test('it reports what is missing: the dependencies of a checkout, or the built program of a package', async (t) => {
  const checkout = temporaryDirectory(t)
  const installed = join(checkout, 'node_modules/millrace')
  for (const directory of [join(checkout, 'copy'), installed]) {
    mkdirSync(join(directory, 'bin'), { recursive: true })
    cpSync(launcher, join(directory, 'bin/millrace.mjs'))
  }
  const fresh = await runMillraceProcess(t, ['version'], {
    cwd: checkout,
    script: join(checkout, 'copy/bin/millrace.mjs'),
  })
  const broken = await runMillraceProcess(t, ['version'], {
    cwd: checkout,
    script: join(installed, 'bin/millrace.mjs'),
  })
  assert.deepEqual([fresh.code, broken.code], [1, 1])
  assert.match(fresh.stderr, /^millrace: run "npm install" in .*copy first/)
  assert.match(broken.stderr, /^millrace: the installation is incomplete: .*dist\/cli\/main\.js is missing/)
})

test('an installed package runs its built program', async (t) => {
  const root = temporaryDirectory(t)
  const installed = join(root, 'node_modules/millrace')
  mkdirSync(join(installed, 'bin'), { recursive: true })
  mkdirSync(join(installed, 'dist/cli'), { recursive: true })
  cpSync(launcher, join(installed, 'bin/millrace.mjs'))
  writeFileSync(join(installed, 'package.json'), '{"type":"module"}')
  writeFileSync(join(installed, 'dist/cli/main.js'), 'console.log("built", process.argv[2])')
  const { stdout } = await runMillraceProcess(t, ['hello'], { cwd: root, script: join(installed, 'bin/millrace.mjs') })
  assert.equal(stdout, 'built hello\n')
})
