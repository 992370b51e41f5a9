// The real server inside the test's own process: quicker to start, for cases in which nobody is killed.
//
// The test must not open the database files with `fs` while it runs: that would drop the server's lock on them.

import { Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { loadConfig } from '../../src/config/config.ts'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { openEventLog } from '../../src/event-log/open-event-log.ts'
import { type RunningServer, type ServerOptions, startServer } from '../../src/server/server.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import type { LedgerLine } from './checker.ts'
import { cleanup } from './cleanup.ts'
import { type ServerOptions as ProcessOptions, serverEnvironment } from './server-process.ts'
import { tempDirectory } from './temp-directory.ts'

export interface InProcessServer {
  readonly dataDir: string
  readonly http: string
  readonly grpc: string
  /** What it has logged. */
  readonly logged: string
  readonly failed: Promise<Error>
  /** The ledger as the log itself tells it now; the one of the status may be half a second old. */
  ledger(): Promise<LedgerLine[]>
  close(): Promise<void>
}

/** Starts a server in this process and closes it when the test ends. Rejects as the product's own startServer does. */
export async function startInProcess(
  t: TestContext,
  options: Pick<ProcessOptions, 'dataDir' | 'env' | 'topics'> & Partial<ServerOptions> = {},
): Promise<InProcessServer> {
  const { dataDir = tempDirectory(t), env = {}, topics = [], ...parts } = options
  const config = loadConfig({ env: serverEnvironment(dataDir, { env, topics }), cwd: dataDir })
  const lines: string[] = []
  const destination = new Writable({
    write: (line, _encoding, done) => {
      lines.push(String(line))
      done()
    },
  })
  const logger = createLogger({ level: 'info', version: '0.0.0', destination, pretty: false })
  let eventLog: EventLog | undefined
  const server: RunningServer = await startServer(config, {
    version: '0.0.0',
    logger,
    openEventLog: async (...given) => {
      eventLog = await openEventLog(...given)
      return eventLog
    },
    ...parts,
  })
  cleanup(t, () => server.close())
  return {
    dataDir,
    http: server.addresses.http,
    grpc: server.addresses.grpc ?? '',
    get logged() {
      return lines.join('')
    },
    failed: server.failed,
    ledger: async () => ledgerOf(eventLog as EventLog),
    close: () => server.close(),
  }
}

async function ledgerOf(eventLog: EventLog): Promise<LedgerLine[]> {
  const { topics } = await eventLog.describe()
  return topics.flatMap(({ name: topic, groups }) =>
    groups.map(({ name: group, auditedWaiting, ...terms }) => ({
      ...terms,
      topic,
      group,
      balanced: terms.waiting === auditedWaiting,
    })),
  )
}
