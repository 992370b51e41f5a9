// The entry point of the command line: `millrace` as a process.

import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

// Without a listener Node opens its inspector on SIGUSR1, and that runs any code for anyone who can connect. Before the
// other imports, which take a while.
process.on('SIGUSR1', () => {})

// Caches what Node compiles from the sources: the server's modules then load in a fifth of the time. The cache is in the
// package's own folder, because other users could put code into a shared one. Threads find it through the environment. Only modules
// that are imported afterwards use it.
const cache = fileURLToPath(new URL('../../node_modules/.cache/millrace', import.meta.url))
enableCompileCache(cache)
process.env.NODE_COMPILE_CACHE ||= cache
const { exitCodes } = await import('./exit-codes.ts')
const { runCommandLine } = await import('./command-line.ts')

const { stdout, stderr, env } = process
// The reader of stdout may stop early (`millrace status | head -1`): EPIPE is not a failure.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') process.exitCode = exitCodes.failed
})
// Without a listener an error on stderr would end the server. What cannot be written is lost.
stderr.on('error', () => {})

process.exitCode = await runCommandLine(process.argv.slice(2), { env, cwd: process.cwd(), stdout, stderr })
// Handles that a failed command leaves open must not keep the process alive.
if (process.exitCode !== exitCodes.done) setTimeout(() => process.exit(), 1000).unref()
