// Runs a command of the product to its end.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { cleanup } from './cleanup.ts'
import { within } from './eventually.ts'
import { inherited, projectRoot, serverEnvironment } from './server-process.ts'

export interface CommandResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly dataDir: string
  readonly env?: Readonly<Record<string, string>>
  readonly withinMs?: number
}

/** `millrace <parts>`: what it printed and how it ended. */
export async function runCommand(
  t: TestContext,
  parts: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  const child = spawn(process.execPath, [join(projectRoot, 'src/cli/main.ts'), ...parts], {
    env: { ...inherited(), ...serverEnvironment(options.dataDir, { env: options.env ?? {} }) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  cleanup(t, () => {
    child.kill('SIGKILL')
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = new Promise<CommandResult>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return within(options.withinMs ?? 20_000, `millrace ${parts.join(' ')}`, ended)
}
