// Checks that a server leaks no resources.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import type { ServerProcess } from './server-process.ts'

/** Files that a data directory may contain after a clean stop. */
const expectedFiles = new Set([
  'log.db',
  'log.db-wal',
  'log.mark',
  'store.db',
  'store.db-wal',
  'store.db-shm',
  'holder.json',
  'addresses.json',
  'files',
])

/** Counts to compare later: non-socket descriptors, sockets, and child processes. */
export interface Footprint {
  readonly files: number
  readonly sockets: number
  readonly children: number
}

export function footprint(server: ServerProcess): Footprint {
  const open = server.openFiles()
  const sockets = open.filter((file) => file.startsWith('socket:')).length
  return { files: open.length - sockets, sockets, children: childrenOf(server.pid).length }
}

/** Connections that the test's own `fetch` may keep open between its requests. */
const pooledSockets = 2

/** Fails if any count is higher than before. */
export function assertNoLeak(server: ServerProcess, before: Footprint): void {
  const now = footprint(server)
  assert.ok(
    now.files <= before.files && now.sockets <= before.sockets + pooledSockets && now.children <= before.children,
    `the server holds more than before: ${JSON.stringify({ before, now, open: server.openFiles() })}`,
  )
}

/** Fails if the data directory contains unexpected files. */
export function assertTidy(dataDir: string, allowed: readonly string[] = []): void {
  const strange = readdirSync(dataDir).filter((file) => !expectedFiles.has(file) && !allowed.includes(file))
  assert.deepEqual(strange, [], 'unexpected files in the data directory')
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
      return parent === pid ? [Number(name)] : []
    } catch {
      return []
    }
  })
}
