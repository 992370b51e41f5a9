import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'

interface Packages {
  readonly [path: string]: object
}

const manifest = { dependencies: { left: '1.0.0' }, devDependencies: { right: '2.0.0' } }
const installedPackages: Packages = {
  'node_modules/left': { version: '1.0.0' },
  'node_modules/right': { version: '2.0.0', dev: true },
}
const lockedPackages: Packages = {
  '': manifest,
  ...installedPackages,
  'node_modules/other-system': { version: '1.0.0', optional: true },
}

/**
 * A project with the script, in which everything is installed. npm is a fake that records its calls: the real one would
 * need the network, and its work is not under test.
 */
function project(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'millrace-install-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const write = (path: string, content: object | string) => {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), typeof content === 'string' ? content : JSON.stringify(content))
  }
  mkdirSync(join(root, 'scripts'))
  for (const name of ['ensure-installed.mjs', 'ensure-console.mjs']) {
    cpSync(new URL(name, import.meta.url), join(root, 'scripts', name))
  }
  write('package.json', manifest)
  write('package-lock.json', { packages: lockedPackages })
  write('node_modules/.package-lock.json', { packages: installedPackages })
  for (const path of Object.keys(installedPackages)) write(`${path}/package.json`, {})
  write('node_modules/.bin/node', '')
  write(
    'npm.mjs',
    `import { appendFileSync } from 'node:fs'
    appendFileSync(${JSON.stringify(join(root, 'calls'))}, process.argv.slice(2).join(' ') + '\\n')
    console.log('added 1 package')
    process.exitCode = Number(process.env.STAND_IN_EXIT ?? 0)`,
  )

  const run = (env: Record<string, string> = {}) => {
    const script = [join(root, 'scripts/ensure-installed.mjs')]
    const result = spawnSync(process.execPath, script, {
      encoding: 'utf8',
      env: { PATH: '', npm_execpath: join(root, 'npm.mjs'), ...env },
    })
    const calls = existsSync(join(root, 'calls')) ? readFileSync(join(root, 'calls'), 'utf8').trim() : ''
    return { ...result, calls }
  }
  return { root, write, run }
}

test('when everything is installed npm is not called and nothing is printed', (t) => {
  const { run } = project(t)
  const { status, calls, stdout, stderr } = run()
  assert.deepEqual([status, calls, stdout, stderr], [0, '', '', ''])
})

test('npm installs once, quietly, when something is missing or differs', (t) => {
  const faults: Record<string, { make: (made: ReturnType<typeof project>) => void; command: string }> = {
    'nothing is installed': {
      make: ({ root }) => rmSync(join(root, 'node_modules'), { recursive: true }),
      command: 'ci',
    },
    'a package is missing': {
      make: ({ root }) => rmSync(join(root, 'node_modules/left'), { recursive: true }),
      command: 'install',
    },
    'another version is installed': {
      make: ({ write }) => {
        const packages = { ...installedPackages, 'node_modules/right': { version: '1.9.9' } }
        write('node_modules/.package-lock.json', { packages })
      },
      command: 'install',
    },
    'package.json wants more': {
      make: ({ write }) => write('package.json', { ...manifest, dependencies: { left: '1.0.1' } }),
      command: 'install',
    },
    'the lock file is broken': { make: ({ write }) => write('package-lock.json', '{'), command: 'install' },
  }
  for (const [name, { make, command }] of Object.entries(faults)) {
    const made = project(t)
    make(made)
    const { status, calls, stdout, stderr } = made.run()
    assert.deepEqual([status, calls, stdout], [0, `${command} --loglevel=error`, ''], name)
    assert.match(stderr, /installing the dependencies \(.+\).*\n.*added 1 package/, name)
  }
})

test('the lock file lists the builds for all systems, so that npm never has to complete it', () => {
  const { packages } = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>
  }
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter((name) => {
      return packages[`${path}/node_modules/${name}`] === undefined && packages[`node_modules/${name}`] === undefined
    }),
  )
  assert.deepEqual(missing, [])
})

test('development packages are not required when npm omits them', (t) => {
  const { root, run } = project(t)
  rmSync(join(root, 'node_modules/right'), { recursive: true })
  assert.equal(run({ NODE_ENV: 'production' }).calls, '')
  assert.equal(run({ npm_config_omit: 'dev' }).calls, '')
  assert.equal(run().calls, 'install --loglevel=error')
})

test('a failed install prints an error and exits 1', (t) => {
  const { root, run } = project(t)
  rmSync(join(root, 'node_modules'), { recursive: true })
  const { status, stderr } = run({ STAND_IN_EXIT: '7' })
  assert.equal(status, 1)
  assert.match(stderr, /npm ci failed; see above/)
})

test('without the bundled Node the system Node is used if it is new enough', (t) => {
  const { root, run } = project(t)
  rmSync(join(root, 'node_modules/.bin/node'))
  const { status, calls } = run()
  assert.deepEqual([status, calls], [0, ''])
})

test('the console is built when it is missing or older than its source, and only then', (t) => {
  const { root, write, run } = project(t)
  const [built, source] = ['dist/console/index.html', 'web/src/page.tsx']
  write(source, '')
  write(
    'node_modules/vite/bin/vite.js',
    `const { mkdirSync, writeFileSync } = require('node:fs')
    mkdirSync('dist/console', { recursive: true })
    writeFileSync(${JSON.stringify(built)}, process.argv.slice(2, 4).join(' '))`,
  )
  const first = run()
  const second = run()
  const [older, newer] = [new Date(2001, 0), new Date(2002, 0)]
  utimesSync(join(root, built), older, older)
  for (const path of ['web', 'web/src', source]) utimesSync(join(root, path), newer, newer)
  const third = run()

  const said = 'building the console ...\n'
  assert.deepEqual([first.stderr, second.stderr, third.stderr], [said, '', said])
  assert.equal(readFileSync(join(root, built), 'utf8'), 'build --config')
})
