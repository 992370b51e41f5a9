// Injects faults into the system calls of a running process with strace: errors and delays. Also records its writes.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { cleanup } from './cleanup.ts'
import { within } from './eventually.ts'

/** Why strace cannot be used here, or null if it can. */
export function straceMissing(): string | null {
  const probe = spawnSync('strace', ['-f', '-e', 'trace=none', 'true'], { encoding: 'utf8' })
  if (probe.error !== undefined) return 'strace is not installed'
  if (probe.status !== 0) return `strace is not permitted to trace here: ${probe.stderr.trim().split('\n')[0]}`
  return null
}

/** A strace attached to a process. */
export interface Strace {
  /** Detaches from the process, which continues without the fault. Idempotent. */
  detach(): Promise<void>
  /** The output of strace so far. */
  readonly output: string
}

/**
 * Attaches to every thread of a process and resolves when it traces all of them.
 * @param options arguments of strace, for example `['-e', 'inject=fsync:error=EIO', '-P', '/data/log.db-wal']`.
 */
export async function attachStrace(t: TestContext, pid: number, options: readonly string[]): Promise<Strace> {
  const child = spawn('strace', ['-f', '-p', String(pid), ...options], { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(child, 'exit')
  let output = ''
  const attached = new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (/Process \d+ attached/.test(output)) resolve()
    })
    child.on('exit', () => reject(new Error(`strace did not attach: ${output}`)))
  })
  const detach = async (): Promise<void> => {
    await end(child, exited)
  }
  cleanup(t, detach)
  await within(5000, 'attaching strace', attached)
  return {
    detach,
    get output() {
      return output
    },
  }
}

async function end(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGINT')
  await within(5000, 'exit of strace', exited)
}
