// The Python that can run the loop: Debian's own, with its packages of both clients.

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

/** Null when none has both. */
export function findPython(): FoundPython | null {
  for (const program of candidates) {
    const { status, stdout } = spawnSync(program, ['-c', versionsOf], { encoding: 'utf8' })
    if (status === 0) return { program, versions: stdout.trim() }
  }
  return null
}

/** Why there is none, and what helps. */
export const whyAbsent = `no Python here has redis and asyncpg: on Debian, apt-get install ${packages.join(' ')}`

/** Installs them where that may be done: on Debian, as root. Elsewhere, and when it fails, nothing happens. */
export function installPython(): void {
  if (findPython() !== null || process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) return
  console.error(`installing ${packages.join(', ')} with apt-get ...`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const run = (...words: string[]) => spawnSync('apt-get', words, { stdio: ['ignore', 2, 2], env })
  // A stale list may still do, so a failed update is no reason to stop.
  run('update', '-qq')
  run('install', '-y', '-qq', '--no-install-recommends', ...packages)
}
