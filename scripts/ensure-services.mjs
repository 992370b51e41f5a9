// Checks that the programs used by the tests are installed. Runs before `npm test`.
//
// On Debian as root it installs missing programs; elsewhere it prints what to install. A test is never skipped because
// a program is missing.

import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** One row per program or library: its name on the PATH, where else it may be, its Debian package, and its use. */
const programs = [
  { name: 'sqlite3', debianPackage: 'sqlite3', usedFor: 'reading the store while the server runs' },
  {
    name: 'initdb',
    elsewhere: postgresDirectories,
    debianPackage: 'postgresql',
    usedFor: 'the PostgreSQL store',
  },
  {
    name: 'pgbouncer',
    elsewhere: () => ['/usr/sbin'],
    debianPackage: 'pgbouncer',
    usedFor: 'PostgreSQL behind a connection pooler',
  },
  { name: 'redis-server', debianPackage: 'redis-server', usedFor: 'the log on Redis' },
  { name: 'openssl', debianPackage: 'openssl', usedFor: 'certificates for TLS' },
  { name: 'curl', debianPackage: 'curl', usedFor: 'HTTP by a client of another maker' },
  { name: 'chromium', debianPackage: 'chromium', usedFor: 'the console in a browser' },
  { name: 'nginx', elsewhere: () => ['/usr/sbin'], debianPackage: 'nginx', usedFor: 'HTTP behind a proxy' },
  { name: 'strace', debianPackage: 'strace', usedFor: 'disk faults: failed flushes, full disks, power loss' },
  { name: 'protoc', debianPackage: 'protobuf-compiler', usedFor: 'the worker in Python' },
  {
    name: 'protobuf',
    elsewhere: () => ['/usr/include/google'],
    debianPackage: 'libprotobuf-dev',
    usedFor: 'the worker in Python',
  },
  {
    name: 'google/protobuf',
    elsewhere: pythonDirectories,
    debianPackage: 'python3-protobuf',
    usedFor: 'the worker in Python',
  },
  { name: 'grpc', elsewhere: pythonDirectories, debianPackage: 'python3-grpcio', usedFor: 'the worker in Python' },
]

const say = (/** @type {string} */ text) => process.stderr.write(`${text}\n`)

const missing = programs.filter((program) => !isThere(program))
if (missing.length > 0) {
  if (mayInstall()) install(missing)
  const stillMissing = missing.filter((program) => !isThere(program))
  if (stillMissing.length > 0) {
    say('The tests need programs that are not on the PATH:')
    for (const { name, usedFor } of stillMissing) say(`  ${name} (${usedFor})`)
    say(`Install them, on Debian with: apt-get install ${stillMissing.map((each) => each.debianPackage).join(' ')}`)
    process.exit(1)
  }
}

function isThere({ name, elsewhere }) {
  const directories = [...(process.env.PATH ?? '').split(delimiter), ...(elsewhere?.() ?? [])]
  return directories.some((directory) => isExecutable(join(directory, name)))
}

/** Debian has a directory per version. */
function postgresDirectories() {
  const all = '/usr/lib/postgresql'
  return existsSync(all) ? readdirSync(all).map((version) => join(all, version, 'bin')) : []
}

function pythonDirectories() {
  return ['/usr/lib/python3/dist-packages']
}

function isExecutable(/** @type {string} */ path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function mayInstall() {
  return process.getuid?.() === 0 && existsSync('/etc/debian_version')
}

function install(wanted) {
  const packages = wanted.map(({ debianPackage }) => debianPackage)
  say(`installing ${packages.join(', ')} with apt-get ...`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const run = (/** @type {string[]} */ ...args) => spawnSync('apt-get', args, { stdio: ['ignore', 2, 2], env })
  // A stale package list may still work, so a failed update is not fatal.
  run('update', '-qq')
  run('install', '-y', '-qq', '--no-install-recommends', ...packages)
}
