// Finds what a test run left behind.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface LeftProcess {
  readonly pid: number
  readonly command: string
}

/**
 * The processes that have this path in their environment, arguments or working directory and still run after the grace
 * period. Needs /proc; elsewhere it finds none.
 */
export async function processesWith(path: string, graceMs: number): Promise<LeftProcess[]> {
  const deadline = performance.now() + graceMs
  while (true) {
    const found = processIds().filter((pid) => mentions(pid, path))
    if (found.length === 0 || performance.now() > deadline) {
      return found.map((pid) => ({ pid, command: readProc(pid, 'cmdline').replaceAll('\0', ' ').trim() }))
    }
    await sleep(50)
  }
}

function processIds(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => pid !== process.pid)
  } catch {
    return []
  }
}

function mentions(pid: number, path: string): boolean {
  return (
    readProc(pid, 'environ').includes(path) ||
    readProc(pid, 'cmdline').includes(path) ||
    directoryOf(pid).startsWith(path)
  )
}

/** Empty for a process that has exited or belongs to another user. */
function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

function directoryOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ''
  }
}
