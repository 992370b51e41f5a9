// A separate process that holds the write lock of a database.

import { spawn } from 'node:child_process'
import type { TestContext } from 'node:test'
import { cleanup } from './cleanup.ts'

const program = `
  const { DatabaseSync } = require('node:sqlite')
  const database = new DatabaseSync(process.argv[1], { timeout: 5000 })
  database.exec('BEGIN IMMEDIATE')
  console.log('locked')
  process.stdin.once('data', () => { database.exec('ROLLBACK'); process.exit(0) })
`

export interface LockHolder {
  /** Its output: `locked` once it holds the lock. */
  printed(): string
  release(): void
}

/** Starts a process that holds the write lock of a database until it is released or the test ends. */
export function spawnLockHolder(t: TestContext, path: string): LockHolder {
  const child = spawn(process.execPath, ['-e', program, path], { stdio: ['pipe', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.on('data', (text) => {
    printed += text
  })
  cleanup(t, () => {
    child.kill('SIGKILL')
  })
  return { printed: () => printed, release: () => child.stdin.write('x') }
}
