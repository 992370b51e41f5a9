// `millrace start`: runs the server until a signal stops it or it fails.
//
// Job: signals, uncaught errors, exit codes, and the lines printed when the server is ready.
// Not its job: assembling the server (server.ts).

import { flushCompileCache } from 'node:module'
import type { Worker } from 'node:worker_threads'
import type { FirstKey } from '../access/first-key.ts'
import { type Config, loadConfig, needsKeys, warnings } from '../config/config.ts'
import { MillraceError } from '../errors.ts'
import { durabilityText } from '../event/durability.ts'
import { sleep, withinMs } from '../lib/abort.ts'
import type { RunningServer } from '../server/server-options.ts'
import { startServer } from '../server/start-server.ts'
import { createLogger, type Logger } from '../telemetry/logger.ts'
import type { CommandInput } from './command.ts'
import { exitCodeOfError, exitCodes } from './exit-codes.ts'
import { openFileProblem } from './open-files.ts'
import type { Terminal } from './terminal.ts'
import { readVersion } from './version.ts'

/** A terminal may deliver one Ctrl-C twice, so a second signal within this time is ignored. */
const secondSignalAfterMs = 1000
/** How long closing may exceed the drain time before the process exits anyway. */
const drainGraceMs = 2000
/** How long the end of a thread may take that has nothing left to do. */
const maxThreadEndMs = 300
/** After a failure the process must be gone within a second. */
const failedCloseMs = 700

export async function run({ configInput, options, terminal }: CommandInput): Promise<number> {
  const config = loadConfig(configInput)
  const tooFewFiles = openFileProblem()
  if (tooFewFiles !== null) throw new MillraceError('failed_precondition', tooFewFiles)
  const version = readVersion()
  const logger = createLogger({ level: config.logLevel, version })
  const stop = listenForStop()
  const threads = watchThreads()
  for (const warning of warnings(config)) logger.warn(warning)
  const starting = startServer(config, {
    version,
    logger,
    startsPaused: options.paused === true,
    onFirstKey: (firstKey) => printFirstKey(firstKey, terminal),
  })
  // A signal may arrive while the server is still starting; the start then has the drain time to finish.
  const gaveUp = stop.requested.then(() => sleep(config.drainMs)).then(() => null)
  const server = await Promise.race([starting, gaveUp])
  if (server === null) {
    logger.error('received a signal to stop during start; start did not finish within the drain time')
    process.exit(exitCodes.failed)
  }
  printGreeting(server, config, version, terminal)
  // Written now, because a killed server cannot write it at exit.
  flushCompileCache()
  // A race, because a server that is stopping can still fail.
  const code = await Promise.race([
    stop.requested.then(() => endStopped(server, config, logger)),
    stop.bug.then((error) => endAfterBug(server, error, logger)),
    server.failed.then((error) => endFailed(server, error, logger)),
  ])
  await endThreads(threads, logger)
  // Open handles, such as an unclosed connection, must not keep the process alive.
  process.exit(code)
}

interface Stop {
  readonly requested: Promise<void>
  /** Resolves with the first uncaught error. */
  readonly bug: Promise<Error>
}

function listenForStop(): Stop {
  const requested = Promise.withResolvers<void>()
  const bug = Promise.withResolvers<Error>()
  let firstSignalAtMs: number | null = null
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      const nowMs = performance.now()
      if (firstSignalAtMs === null) {
        firstSignalAtMs = nowMs
        requested.resolve()
      } else if (nowMs - firstSignalAtMs >= secondSignalAfterMs) {
        // Not process.exit, which would wait for a thread that is blocked in a call to a stuck disk.
        process.removeAllListeners(signal)
        process.kill(process.pid, signal)
      }
    })
  }
  process.on('uncaughtException', bug.resolve)
  process.on('unhandledRejection', (thrown) => {
    bug.resolve(
      thrown instanceof Error
        ? thrown
        : new Error(`a promise was rejected with a value that is no Error: ${String(thrown)}`),
    )
  })
  // Settings are not reloaded at run time. Without a listener SIGHUP would end the process.
  process.on('SIGHUP', () => {})
  return { requested: requested.promise, bug: bug.promise }
}

/** The threads of this process that have not ended. */
function watchThreads(): ReadonlySet<Worker> {
  const threads = new Set<Worker>()
  process.on('worker', (thread) => {
    threads.add(thread)
    thread.once('exit', () => threads.delete(thread))
  })
  return threads
}

/** Nothing ends a thread in a native call, such as execFileSync of an isolated handler, and process.exit waits for it. */
async function endThreads(threads: ReadonlySet<Worker>, logger: Logger): Promise<void> {
  const ending = Promise.all([...threads].map((thread) => thread.terminate()))
  if ((await withinMs(ending, maxThreadEndMs, null)) !== null) return
  logger.error('a thread is in a native call that does not end; the process ends without it, by SIGKILL')
  process.kill(process.pid, 'SIGKILL')
}

async function endStopped(server: RunningServer, config: Config, logger: Logger): Promise<number> {
  if (await closesWithin(server, config.drainMs + drainGraceMs)) return exitCodes.done
  logger.error('work is still in flight after the drain time; unfinished events stay in the log')
  return exitCodes.failed
}

/** State in memory can no longer be trusted; durable state can. */
async function endAfterBug(server: RunningServer, error: Error, logger: Logger): Promise<number> {
  logger.fatal({ error }, 'uncaught error; the server exits')
  await closesWithin(server, failedCloseMs)
  return exitCodes.failed
}

async function endFailed(server: RunningServer, error: Error, logger: Logger): Promise<number> {
  logger.fatal({ error }, 'the server failed and exits')
  // Not process.exit, which would wait for a thread that is blocked in a call to a failing disk.
  if (!(await closesWithin(server, failedCloseMs))) process.kill(process.pid, 'SIGKILL')
  return exitCodeOfError(error)
}

async function closesWithin(server: RunningServer, milliseconds: number): Promise<boolean> {
  const timeIsUp = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => timeIsUp.resolve(false), milliseconds)
  const closed = await Promise.race([server.close().then(() => true), timeIsUp.promise])
  clearTimeout(timer)
  return closed
}

/** On stderr, because the data on stdout is the greeting. Not by the logger: a log is kept, and read by others. */
function printFirstKey({ key, path }: FirstKey, terminal: Terminal): void {
  terminal.note(
    `Callers need a key. The first one, for everything, is shown this once and kept in ${path}:\n\n  ${key}\n`,
  )
}

function printGreeting({ addresses }: RunningServer, config: Config, version: string, terminal: Terminal): void {
  const { dataDir, redisUrl, durability, upstream } = config
  const { http, grpc, tls = false } = addresses
  if (terminal.json) {
    terminal.printJson({ version, http, grpc, tls, data_dir: dataDir })
    return
  }
  const url = `${tls ? 'https' : 'http'}://${http}`
  const authorities = tls ? '--cacert CA.pem ' : ''
  const event = '{"type":"hello","data":{"text":"world"}}'
  const key = needsKeys(config) ? ' -H "authorization: Bearer $MILLRACE_KEY"' : ''
  terminal.print(
    [
      `${terminal.paint('bold', `Millrace ${version}`)} is ready.`,
      `  console  ${url}/`,
      `  HTTP     ${url}`,
      ...(grpc === null ? [] : [`  gRPC     ${grpc}${tls ? ' (TLS)' : ''}`]),
      ...(upstream.length > 0
        ? [`  for      ${upstream.join(', ')}`]
        : [
            ...(redisUrl === null ? [`  data     ${dataDir}`] : []),
            `  durability of accepted events: ${durabilityText(durability)}`,
          ]),
      ...(grpc === null && upstream.length === 0
        ? []
        : ['Try:', `  curl ${authorities}-H 'content-type: application/json'${key} -d '${event}' ${url}/v1/events`]),
    ].join('\n'),
  )
}
