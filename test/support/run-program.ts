// Runs another program to its end, while servers in this process go on.

import { execFile } from 'node:child_process'

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export function run(program: string, words: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(program, words, { timeout: 20_000 }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr })
    })
  })
}
