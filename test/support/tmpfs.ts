// A small file system of its own, to be filled up.

import { spawnSync } from 'node:child_process'
import type { TestContext } from 'node:test'
import { cleanup } from './cleanup.ts'
import { tempDirectory } from './temp-directory.ts'

/** Mounts a tmpfs of so many MiB until the test ends; answers its path, or why it can not. */
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
