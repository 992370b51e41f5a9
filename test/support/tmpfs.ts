// A small separate file system for tests to fill up.

import { spawnSync } from 'node:child_process'
import type { TestContext } from 'node:test'
import { cleanup } from './cleanup.ts'
import { tempDirectory } from './temp-directory.ts'

/** Mounts a tmpfs of `sizeMiB` MiB until the test ends; returns its path, or the reason why it cannot. */
export function mountTmpfs(t: TestContext, sizeMiB: number): { readonly path: string } | { readonly reason: string } {
  if (process.getuid?.() !== 0) return { reason: 'mounting a tmpfs needs root' }
  const path = tempDirectory(t)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', path], { encoding: 'utf8' })
  if (mounted.status !== 0)
    return { reason: `mounting a tmpfs failed: ${mounted.stderr?.trim() ?? mounted.error?.message}` }
  cleanup(t, () => {
    spawnSync('umount', ['-l', path])
  })
  return { path }
}
