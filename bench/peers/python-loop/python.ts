// Finds a Python that can run the loop: usually Debian's own, with its packages of both clients.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const packages = ['python3-redis', 'python3-asyncpg']
const candidates = ['/usr/bin/python3', 'python3']

const versionsOf = `
import platform, redis.asyncio, asyncpg
print("Python", platform.python_version() + ", redis", redis.__version__ + ", asyncpg", asyncpg.__version__)`

export interface FoundPython {
  readonly program: string
  readonly versions: string
}

/** Null when no Python has both packages. */
export function findPython(): FoundPython | null {
  for (const program of candidates) {
    const { status, stdout } = spawnSync(program, ['-c', versionsOf], { encoding: 'utf8' })
    if (status === 0) return { program, versions: stdout.trim() }
  }
  return null
}

/** Why there is none, and what to install. */
export const whyAbsent = `no Python with redis and asyncpg was found; on Debian, run apt-get install ${packages.join(' ')}`

/** Installs the packages on Debian as root. Does nothing elsewhere; a failure is ignored. */
export function installPython(): void {
  if (findPython() !== null || process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) return
  console.error(`installing ${packages.join(', ')} with apt-get ...`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const run = (...words: string[]) => spawnSync('apt-get', words, { stdio: ['ignore', 2, 2], env })
  // The install may succeed with stale package lists, so a failed update is ignored.
  run('update', '-qq')
  run('install', '-y', '-qq', '--no-install-recommends', ...packages)
}
