// The entry point of the command line: parses arguments, runs the command, reports errors, sets the exit code.

import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { CommanderError } from 'commander'
import { MillraceError } from '../errors.ts'
import { UsageError } from './command.ts'
import { exitCodeOfError, exitCodes } from './exit-codes.ts'
import { buildProgram } from './program.ts'

// Caches what Node compiles from the sources: the server's modules then load in a fifth of the time. The cache is in the
// package's own folder, because other users could put code into a shared one.
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/millrace', import.meta.url)))

// The reader of stdout may stop early (`millrace status | head -1`): EPIPE is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') process.exitCode = exitCodes.failed
})
// Without a listener an error on stderr would end the server. What cannot be written is lost.
process.stderr.on('error', () => {})

const program = buildProgram((code) => {
  process.exitCode = code
}).exitOverride()
for (const command of program.commands.flatMap((each) => [each, ...each.commands])) command.exitOverride()

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = codeAfter(error)
  // Handles that a failed command leaves open must not keep the process alive.
  setTimeout(() => process.exit(), 1000).unref()
}

function codeAfter(error: unknown): number {
  // Commander has printed the message. It also throws for --help and --version, with exit code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
  if (error instanceof UsageError) {
    process.stderr.write(`millrace: ${error.message}\n`)
    return exitCodes.usage
  }
  const text = error instanceof MillraceError && error.code !== 'internal' ? error.message : describeBug(error)
  process.stderr.write(`millrace: ${text}\n`)
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
