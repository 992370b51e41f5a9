// What a command gets and gives.

import type { ConfigInput } from '../config/config.ts'
import type { Terminal } from './terminal.ts'

export interface CommandInput {
  /** The words behind the command's name. */
  readonly arguments: readonly string[]
  /** The command's own options, by the name that commander gives them: `--dry-run` is `dryRun`. */
  readonly options: Readonly<Record<string, string | boolean | undefined>>
  /** For loadConfig: environment, and the flags that stand for settings. */
  readonly configInput: ConfigInput
  readonly terminal: Terminal
}

export interface CommandModule {
  /** Does it and resolves with the exit code. What it throws is printed, and the exit code is that of the error. */
  run(input: CommandInput): Promise<number>
}

/** The text of an option that was given with a value. Throws UsageError when the value is empty. */
export function textOption({ options }: CommandInput, name: string): string | undefined {
  const value = options[name]
  if (value === '') {
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    throw new UsageError(`--${flag} is empty: leave it out, or give a value`)
  }
  return typeof value === 'string' ? value : undefined
}

/** The command was called in a way that makes no sense; exit code 2. */
export class UsageError extends Error {}
