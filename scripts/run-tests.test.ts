import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'

const passing = `import { test } from 'node:test'; test('passes', () => {})`
const failing = `import { test } from 'node:test'; test('fails', () => { throw new Error('as it should') })`

/** A project with the script and these test files. Its temporary directory is checked afterwards. */
function project(t: TestContext, testFiles: Record<string, string>) {
  const root = mkdtempSync(join(tmpdir(), 'millrace-runner-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const sources = { 'package.json': '{"type":"module"}', 'tmp/.keep': '', ...testFiles }
  for (const [path, source] of Object.entries(sources)) {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), source)
  }
  for (const script of ['run-tests.ts', 'left-behind.ts']) {
    cpSync(new URL(`./${script}`, import.meta.url), join(root, 'scripts', script))
  }
  // Without the variable that marks a process as a test: a runner inside a test would run nothing.
  const env = { PATH: process.env.PATH ?? '', TMPDIR: join(root, 'tmp'), MILLRACE_HOST: '0.0.0.0' }
  const command = [join(root, 'scripts/run-tests.ts')]
  const run = (...parts: string[]) => {
    const result = spawnSync(process.execPath, [...command, ...parts], { env, encoding: 'utf8' })
    return { ...result, left: readdirSync(env.TMPDIR).filter((name) => name !== '.keep') }
  }
  return { root, run, start: () => spawn(process.execPath, command, { env, stdio: ['ignore', 'pipe', 'inherit'] }) }
}

test('a run in which all tests pass prints the totals of all files and exits 0', (t) => {
  const { run } = project(t, { 'src/a.test.ts': passing, 'test/faults/negative-controls.test.ts': passing })
  const { status, stdout, left } = run()
  assert.equal(status, 0, stdout)
  assert.match(stdout, /ℹ tests 2\nℹ pass 2\nℹ fail 0\n/)
  assert.equal(stdout.match(/ℹ tests/g)?.length, 1)
  assert.deepEqual(left, [])
})

test('one failing test makes the run fail and is printed', (t) => {
  const { run } = project(t, { 'src/a.test.ts': passing, 'src/b.test.ts': failing })
  const { status, stdout } = run()
  assert.equal(status, 1)
  assert.match(stdout, /ℹ pass 1\nℹ fail 1\n/)
  assert.match(stdout, /as it should/)
})

test('a file that does not load makes the run fail', (t) => {
  const { run } = project(t, { 'src/a.test.ts': 'this is no program' })
  assert.equal(run().status, 1)
})

test('when a negative control fails the run is void, and only unit tests run', (t) => {
  const { run } = project(t, {
    'src/a.test.ts': passing,
    'test/faults/a.test.ts': passing,
    'test/faults/negative-controls-x1.test.ts': failing,
  })
  const { status, stdout } = run()
  assert.equal(status, 1)
  assert.match(stdout, /✖ a negative control was not found: this run is void/)
  assert.match(stdout, /ℹ tests 2\n/)
})

test('a temporary file that is left behind makes the run fail, and is removed', (t) => {
  const leaving = `import { mkdtempSync } from 'node:fs'; import { tmpdir } from 'node:os'; import { join } from 'node:path'
    ${passing}; mkdtempSync(join(tmpdir(), 'millrace-forgotten-'))`
  const { run } = project(t, { 'src/a.test.ts': leaving })
  const { status, stdout, left } = run()
  assert.equal(status, 1)
  assert.match(stdout, /✖ a temporary file was left behind: millrace-forgotten-/)
  assert.deepEqual(left, [])
})

test('a process that is left behind makes the run fail, and is killed', (t) => {
  const leaving = `import { spawn } from 'node:child_process'; import { writeFileSync } from 'node:fs'
    ${passing}
    const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' })
    child.unref()
    writeFileSync(new URL('../pid', import.meta.url), String(child.pid))`
  const { root, run } = project(t, { 'src/a.test.ts': leaving })
  const { status, stdout } = run()
  const pid = readFileSync(join(root, 'pid'), 'utf8')
  assert.equal(status, 1)
  assert.match(stdout, new RegExp(`✖ a process was left behind: ${pid} sleep 600`))
  assert.equal(existsSync(`/proc/${pid}/environ`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '', false)
})

test('an interrupted run stops its tests and cleans up', async (t) => {
  const { root, start } = project(t, {
    'src/a.test.ts': `import { test } from 'node:test'
      test('hangs', () => new Promise(() => { console.log('hanging'); setInterval(() => {}, 1000) }))`,
  })
  const runner = start()
  await once(runner.stdout, 'data')
  runner.kill('SIGTERM')
  const [code] = await once(runner, 'exit')
  assert.equal(code, 143)
  assert.deepEqual(readdirSync(join(root, 'tmp')), ['.keep'])
})

test('environment settings of the user do not reach the tests', (t) => {
  const { run } = project(t, {
    'src/a.test.ts': `import assert from 'node:assert'; import { test } from 'node:test'
      test('sees none', () => assert.equal(process.env.MILLRACE_HOST, undefined))`,
  })
  assert.equal(run().status, 0)
})

test('the long run includes the *.long.test.ts files and those that use depth.ts, with TEST_LONG set', (t) => {
  const { run } = project(t, {
    'src/a.test.ts': failing,
    'src/b.long.test.ts': passing,
    'test/support/depth.ts': 'export const isLongRun = process.env.TEST_LONG !== undefined',
    'test/faults/c.test.ts': [
      "import assert from 'node:assert'; import { test } from 'node:test'",
      "import { isLongRun } from '../support/depth.ts'",
      "test('knows', () => assert.ok(isLongRun))",
    ].join('\n'),
  })
  assert.match(run('--long').stdout, /ℹ tests 2\nℹ pass 2\n/)
  assert.match(run().stdout, /ℹ tests 2\nℹ pass 0\n/)
})

test('parts of paths select the files', (t) => {
  const { run } = project(t, {
    'src/a.test.ts': passing,
    'src/b.test.ts': failing,
    'test/end-to-end/c.test.ts': failing,
  })
  assert.equal(run('src/a').status, 0)
  assert.match(run('--unit').stdout, /ℹ tests 2\n/)
  assert.equal(run('nothing-like-this').status, 2)
})
