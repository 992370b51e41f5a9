// Runs `millrace` for the tests of the command line: in this process, or as one of its own.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runCommandLine } from './command-line.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))
/** As in test/support/server-process.ts: 0.2 s less CPU per process. */
const nodeArguments = ['--single-threaded-gc']

export interface Printed {
  readonly stdout: string
  readonly stderr: string
}

export interface Ended extends Printed {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

interface Place {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
}

interface Program {
  readonly script?: string
  /** A command that runs the program: `['sh', '-c', ...]`. */
  readonly wrapper?: readonly string[]
}

/**
 * Runs `millrace <words>` to its end in this process, with nothing of its environment but the path: 20 times quicker than as
 * one of its own. Not for `start`, which ends its process, and not where signals, stdin or the terminal matter.
 */
export async function runMillrace(
  words: readonly string[],
  { cwd, env = {} }: Place,
): Promise<Printed & { code: number }> {
  const [stdout, stderr] = [new Collector(), new Collector()]
  const path = { PATH: process.env.PATH ?? '' }
  const code = await runCommandLine(words, { env: { ...path, ...env }, cwd, stdout, stderr })
  return { code, stdout: stdout.text, stderr: stderr.text }
}

class Collector extends Writable {
  text = ''

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk
    done()
  }
}

/** Starts `millrace <words>` as a process of its own. */
export function startMillrace(
  t: TestContext,
  words: readonly string[],
  { cwd, env = {}, script = main, wrapper = [] }: Place & Program,
): Running {
  const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env
  const [command, ...rest] = [...wrapper, process.execPath, ...nodeArguments, script, ...words] as [string, ...string[]]
  const child = spawn(command, rest, { cwd, env: { PATH, NODE_COMPILE_CACHE, ...env } })
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

/** Runs `millrace <words>` to its end as a process of its own. */
export function runMillraceProcess(t: TestContext, words: readonly string[], options: Place & Program): Promise<Ended> {
  return startMillrace(t, words, options).ended
}

export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-cli-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
