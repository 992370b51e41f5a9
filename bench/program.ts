// Starts a helper program of the benchmark that prints its address and runs until SIGTERM.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** Node's flags for every measured process. */
export const nodeArguments = ['--max-semi-space-size=64']

export interface RunningProgram {
  readonly address: string
  readonly pid: number
  stop(): Promise<void>
}

/** Starts `<name>.ts` of this folder and resolves with the first line it prints, its address. */
export async function startProgram(
  name: string,
  programArguments: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunningProgram> {
  const file = fileURLToPath(new URL(`./${name}.ts`, import.meta.url))
  const child = spawn(process.execPath, [...nodeArguments, file, ...programArguments], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  process.once('exit', () => child.kill())
  const ended = once(child, 'exit')
  const firstLine = once(child.stdout.setEncoding('utf8'), 'data').then(([text]) => String(text))
  const address = await Promise.race([firstLine, ended.then(() => Promise.reject(new Error(`${name} ended early`)))])
  return {
    address: address.trim(),
    pid: child.pid as number,
    stop: async () => {
      child.kill('SIGTERM')
      await ended
    },
  }
}
