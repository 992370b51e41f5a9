// Runs commands of the product to completion, with the settings of the tests' servers.

import type { TestContext } from 'node:test'
import { type Ended, type Printed, runMillrace, runMillraceProcess } from '../../src/cli/run-millrace.test-support.ts'
import { within } from './eventually.ts'
import { inherited, serverEnvironment } from './server-process.ts'

export interface CommandOptions {
  readonly dataDir: string
  readonly env?: Readonly<Record<string, string>>
  readonly withinMs?: number
}

/** `millrace <words>` in this process. Not for `start`, which exits its process. */
export function runCommand(words: readonly string[], options: CommandOptions): Promise<Printed & { code: number }> {
  return inTime(words, options, runMillrace(words, placeOf(options)))
}

/** The same in a separate process. */
export function runCommandProcess(t: TestContext, words: readonly string[], options: CommandOptions): Promise<Ended> {
  return inTime(words, options, runMillraceProcess(t, words, placeOf(options)))
}

function placeOf({ dataDir, env = {} }: CommandOptions) {
  return { cwd: process.cwd(), env: { ...inherited(), ...serverEnvironment(dataDir, { env }) } }
}

function inTime<Result>(words: readonly string[], { withinMs = 20_000 }: CommandOptions, result: Promise<Result>) {
  return within(withinMs, `millrace ${words.join(' ')}`, result)
}
