// `millrace start`: runs the server until it is told to stop, or cannot go on.
//
// Job: signals, errors that nobody caught, exit codes, and the lines that greet.
// Not its job: what the server is made of (server.ts).

import { flushCompileCache } from 'node:module'
import { type Config, loadConfig, warnings } from '../config/config.ts'
import { durabilityText } from '../event/durability.ts'
import { sleep } from '../lib/abort.ts'
import { type RunningServer, startServer } from '../server/server.ts'
import { createLogger, type Logger } from '../telemetry/logger.ts'
import type { CommandInput } from './command.ts'
import { exitCodeOfError, exitCodes } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'
import { readVersion } from './version.ts'

/** A terminal may deliver one Ctrl-C twice: a second signal counts from this time after the first. */
const secondSignalAfterMs = 1000
/** What the server may take beyond its drain time before it is ended by force. */
const drainGraceMs = 2000
/** A server that cannot go on must be gone within a second. */
const failedCloseMs = 700

export async function run({ configInput, terminal }: CommandInput): Promise<number> {
  const config = loadConfig(configInput)
  const version = readVersion()
  const logger = createLogger({ level: config.logLevel, version })
  const stop = listenForStop()
  for (const warning of warnings(config)) logger.warn(warning)
  const starting = startServer(config, { version, logger })
  // A start that waits for something may be told to stop too; it has until the end of the drain time to come to its end.
  const gaveUp = stop.requested.then(() => sleep(config.drainMs)).then(() => null)
  const server = await Promise.race([starting, gaveUp])
  if (server === null) {
    logger.error('the server was told to stop while it started, and did not come to an end')
    process.exit(exitCodes.failed)
  }
  greet(server, config, version, terminal)
  // Kept now, for a server may be killed.
  flushCompileCache()
  // Not one after the other: a server that is stopping can still fail.
  const code = await Promise.race([
    stop.requested.then(() => endStopped(server, config, logger)),
    stop.bug.then((error) => endAfterBug(server, error, logger)),
    server.failed.then((error) => endFailed(server, error, logger)),
  ])
  // Whatever still holds the event loop (a connection that nobody closes) must not hold the process.
  process.exit(code)
}

interface Stop {
  readonly requested: Promise<void>
  /** Resolves with an error that nobody caught. */
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
        // Not process.exit: it would wait for a thread that stands in a call to a stuck disk.
        process.removeAllListeners(signal)
        process.kill(process.pid, signal)
      }
    })
  }
  process.on('uncaughtException', bug.resolve)
  process.on('unhandledRejection', (thrown) => {
    bug.resolve(thrown instanceof Error ? thrown : new Error(`a promise was rejected with ${String(thrown)}`))
  })
  // Settings are not read anew while it runs; without a listener the signal would end the process.
  process.on('SIGHUP', () => {})
  return { requested: requested.promise, bug: bug.promise }
}

async function endStopped(server: RunningServer, config: Config, logger: Logger): Promise<number> {
  if (await closesWithin(server, config.drainMs + drainGraceMs)) return exitCodes.done
  logger.error('the drain time is over and something still runs; what is unfinished stays in the log')
  return exitCodes.failed
}

/** What is in memory is not to be trusted any more; what is durable is. */
async function endAfterBug(server: RunningServer, error: Error, logger: Logger): Promise<number> {
  logger.fatal({ error }, 'an error in the server was not caught')
  await closesWithin(server, failedCloseMs)
  return exitCodes.failed
}

async function endFailed(server: RunningServer, error: Error, logger: Logger): Promise<number> {
  logger.fatal({ error }, 'the server cannot go on')
  // process.exit would wait for a thread that stands in a call to a sick disk, for as long as that takes.
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

function greet({ addresses }: RunningServer, config: Config, version: string, terminal: Terminal): void {
  const { dataDir, redisUrl, durability } = config
  const { http, grpc } = addresses
  if (terminal.json) {
    terminal.printJson({ version, http, grpc, data_dir: dataDir })
    return
  }
  const event = '{"type":"hello","data":{"text":"world"}}'
  terminal.print(
    [
      `${terminal.paint('bold', `Millrace ${version}`)} is ready.`,
      `  HTTP  http://${http}`,
      ...(grpc === null ? [] : [`  gRPC  ${grpc}`]),
      ...(redisUrl === null ? [`  data  ${dataDir}`] : []),
      `  an accepted event has reached: ${durabilityText(durability)}`,
      ...(grpc === null
        ? []
        : ['Try:', `  curl -H 'content-type: application/json' -d '${event}' http://${http}/v1/events`]),
    ].join('\n'),
  )
}
