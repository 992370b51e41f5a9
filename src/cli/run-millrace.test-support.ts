// Runs `millrace` as a child process, for the tests of the command line.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

/** Starts `millrace <words>` in the directory. Of this process's environment it gets only PATH. */
export function startMillrace(
  t: TestContext,
  words: readonly string[],
  { cwd, env = {}, script = main }: { cwd: string; env?: Record<string, string>; script?: string },
): Running {
  const child = spawn(process.execPath, [script, ...words], { cwd, env: { PATH: process.env.PATH ?? '', ...env } })
  const printed = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text
    })
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, ...printed }))
  })
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { child, ended }
}

export function runMillrace(
  t: TestContext,
  words: readonly string[],
  options: { cwd: string; env?: Record<string, string>; script?: string },
): Promise<Ended> {
  return startMillrace(t, words, options).ended
}

export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-cli-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
