// The command line: parse, do, say what went wrong, set the exit code.

import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { CommanderError } from 'commander'
import { MillraceError } from '../errors.ts'
import { UsageError } from './command.ts'
import { exitCodeOfError, exitCodes } from './exit-codes.ts'
import { buildProgram } from './program.ts'

// What Node makes of the sources (types stripped, code compiled) is kept for the next start: the server's modules then load
// in a fifth of the time. In the package's own folder, for in a shared one others could put code there.
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/millrace', import.meta.url)))

// Whoever reads the output may stop reading (`millrace status | head -1`): that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') process.exitCode = exitCodes.failed
})
// Remarks that cannot be written are lost; without a listener a server would end for its log.
process.stderr.on('error', () => {})

const program = buildProgram((code) => {
  process.exitCode = code
}).exitOverride()
for (const command of program.commands.flatMap((each) => [each, ...each.commands])) command.exitOverride()

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = codeAfter(error)
  // What a failed command leaves open must not hold the process.
  setTimeout(() => process.exit(), 1000).unref()
}

function codeAfter(error: unknown): number {
  // Commander has said what is wrong; help and version come as errors too, with exit code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
  if (error instanceof UsageError) {
    process.stderr.write(`millrace: ${error.message}\n`)
    return exitCodes.usage
  }
  const text = error instanceof MillraceError && error.code !== 'internal' ? error.message : describeBug(error)
  process.stderr.write(`millrace: ${text}\n`)
  return exitCodeOfError(error)
}

/** An error that nobody foresaw is shown with all that helps to find it. */
function describeBug(error: unknown): string {
  const { cause } = error instanceof MillraceError ? error : { cause: error }
  const shown = cause ?? error
  // What the system refused (no such file, not permitted) says all in its message.
  if (shown instanceof Error && 'syscall' in shown) return shown.message
  return shown instanceof Error ? (shown.stack ?? shown.message) : String(shown)
}
