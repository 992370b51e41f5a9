// Installs the dependencies only if something is missing, and builds the console if it is older than its source. Runs
// before `npm start` and `npm test`.
//
// It runs on the machine's own Node, which may be old: plain JavaScript, no dependencies. The rest of the npm script
// runs on the Node that the dependency `node` puts first in the PATH.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureConsole } from './ensure-console.mjs'

/** The oldest Node that supports node:sqlite and TypeScript without flags or warnings. */
const oldestNode = [24, 15]

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const say = (/** @type {string} */ text) => process.stderr.write(`${text}\n`)

const reason = missing()
if (reason !== null) {
  say(`installing the dependencies (${reason}); this takes a minute, once ...`)
  const began = Date.now()
  // `npm install` may rewrite package-lock.json; `npm ci` removes what is installed, perhaps under a running server.
  const isNew = !existsSync(join(root, 'node_modules/.package-lock.json'))
  npm(isNew && isLockCurrent() ? 'ci' : 'install', '--loglevel=error')
  say(`installed in ${Math.round((Date.now() - began) / 1000)} s`)
}
ensureNode()
ensureConsole()

/** The first difference from package-lock.json, or null. */
function missing() {
  const lock = readJson('package-lock.json')
  const installed = readJson('node_modules/.package-lock.json')
  if (lock === null) return 'there is no package-lock.json'
  if (installed === null) return 'nothing is installed yet'
  if (!isLockCurrent()) return 'package.json has changed'
  const productionOnly = process.env.NODE_ENV === 'production' || (process.env.npm_config_omit ?? '').includes('dev')
  for (const [path, wanted] of Object.entries(lock.packages)) {
    // Optional packages are builds for other systems or for this one; npm decides which to install.
    if (path === '' || wanted.optional || wanted.devOptional || (wanted.dev && productionOnly)) continue
    const name = path.replace(/^.*node_modules\//, '')
    if (installed.packages[path]?.version !== wanted.version) return `${name} ${wanted.version} is missing`
    if (!existsSync(join(root, path, 'package.json'))) return `${name} is missing`
  }
  return null
}

/** Whether package-lock.json was written after the last change of the dependencies in package.json. */
function isLockCurrent() {
  const [manifest, locked] = [readJson('package.json'), readJson('package-lock.json')?.packages['']]
  const kinds = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies']
  return kinds.every((kind) => {
    const [wanted, known] = [manifest?.[kind] ?? {}, locked?.[kind] ?? {}]
    const names = Object.keys(wanted)
    return names.length === Object.keys(known).length && names.every((name) => wanted[name] === known[name])
  })
}

function readJson(/** @type {string} */ path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8'))
  } catch {
    return null
  }
}

/** The install script of the dependency `node` puts it in place, and install scripts may be switched off. */
function ensureNode() {
  const bundled = join(root, 'node_modules/.bin', process.platform === 'win32' ? 'node.cmd' : 'node')
  if (existsSync(bundled) || isNewEnough(process.versions.node)) return
  say('fetching Node ...')
  npm('rebuild', 'node', '--loglevel=error')
  if (existsSync(bundled)) return
  fail(
    `Millrace needs Node ${oldestNode.join('.')} or newer, this is ${process.versions.node}, and npm could not fetch a newer one ` +
      '(its install scripts may be switched off): install Node 24, or run `npm rebuild node --ignore-scripts=false`.',
  )
}

function isNewEnough(/** @type {string} */ version) {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])
}

/** Runs npm; its output goes to stderr, because stdout belongs to the command that follows. */
function npm(/** @type {string[]} */ ...args) {
  const own = process.env.npm_execpath
  const [command, before] = own === undefined ? ['npm', []] : [process.execPath, [own]]
  const { status, error } = spawnSync(command, [...before, ...args], { cwd: root, stdio: ['ignore', 2, 2] })
  if (status !== 0) fail(`npm ${args[0]} failed${error === undefined ? '' : `: ${error.message}`}; see above`)
}

function fail(/** @type {string} */ text) {
  say(text)
  process.exit(1)
}
