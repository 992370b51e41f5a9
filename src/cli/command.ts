// The input and the interface of a command.

import type { ConfigInput } from '../config/config.ts'
import type { Terminal } from './terminal.ts'

export interface CommandInput {
  /** The arguments after the command's name. */
  readonly arguments: readonly string[]
  /** The command's own options, by commander's attribute name: `--dry-run` is `dryRun`. */
  readonly options: Readonly<Record<string, string | boolean | readonly string[] | undefined>>
  /** For loadConfig: the environment and the flags of settings. */
  readonly configInput: ConfigInput
  readonly terminal: Terminal
}

export interface CommandModule {
  /** Resolves with the exit code. An error that it throws is printed and decides the exit code. */
  run(input: CommandInput): Promise<number>
}

/** The value of an option; undefined when it was not given. Throws UsageError when the value is empty. */
export function textOption({ options }: CommandInput, name: string): string | undefined {
  const value = options[name]
  if (value === '') {
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    throw new UsageError(`--${flag} is empty; give it a value or leave it out`)
  }
  return typeof value === 'string' ? value : undefined
}

/** All values of an option that may be given several times. */
export function textsOption({ options }: CommandInput, name: string): readonly string[] {
  const value = options[name]
  return Array.isArray(value) ? value : []
}

/** Wrong arguments or options: exit code 2. */
export class UsageError extends Error {}
