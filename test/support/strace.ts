// Faults at the system calls of a running process, made by strace: errors, delays, records of what was written.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { cleanup } from './cleanup.ts'
import { within } from './eventually.ts'

/** Why strace can not be used here, or null when it can. */
export function straceMissing(): string | null {
  const probe = spawnSync('strace', ['-f', '-e', 'trace=none', 'true'], { encoding: 'utf8' })
  if (probe.error !== undefined) return 'strace is not installed'
  if (probe.status !== 0) return `strace may not trace here: ${probe.stderr.trim().split('\n')[0]}`
  return null
}

/** strace at work on a process. */
export interface Strace {
  /** Lets go of the process, which runs on without the fault. Idempotent. */
  detach(): Promise<void>
  /** What strace has printed so far. */
  readonly output: string
}

/**
 * Attaches to every thread of a process and resolves when it holds all of them.
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
  await within(5000, 'the end of strace', exited)
}
