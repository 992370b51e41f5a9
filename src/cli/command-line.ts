// Runs one command line: parses it, runs the command, prints what went wrong, answers the exit code.

import type { Writable } from 'node:stream'
import { CommanderError } from 'commander'
import { MillraceError } from '../errors.ts'
import { buildProgram } from './build-program.ts'
import { UsageError } from './command.ts'
import { exitCodeOfError, exitCodes } from './exit-codes.ts'
import type { Surroundings } from './surroundings.ts'

/** @param words what follows `millrace`. Never throws: an error is printed on stderr and decides the exit code. */
export async function runCommandLine(words: readonly string[], surroundings: Surroundings): Promise<number> {
  let exitCode: number = exitCodes.done
  const program = buildProgram(surroundings, (code) => {
    exitCode = code
  })
  try {
    await program.parseAsync(words, { from: 'user' })
    return exitCode
  } catch (error) {
    return report(error, surroundings.stderr)
  }
}

function report(error: unknown, stderr: Writable): number {
  // Commander has printed the message. It also throws for --help and --version, with exit code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
  if (error instanceof UsageError) {
    stderr.write(`millrace: ${error.message}\n`)
    return exitCodes.usage
  }
  const text = error instanceof MillraceError && error.code !== 'internal' ? error.message : describeBug(error)
  stderr.write(`millrace: ${text}\n`)
  return exitCodeOfError(error)
}

/** An unexpected error is printed with its stack. */
function describeBug(error: unknown): string {
  const { cause } = error instanceof MillraceError ? error : { cause: error }
  const shown = cause ?? error
  // For an error of a system call (no such file, not permitted) the message is enough.
  if (shown instanceof Error && 'syscall' in shown) return shown.message
  return shown instanceof Error ? (shown.stack ?? shown.message) : String(shown)
}
