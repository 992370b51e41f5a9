// The real server inside the test's own process: it starts in a tenth of the time, for tests that do not kill it.
//
// The test must not open the database files with `fs` while it runs: that would drop the server's lock on them.

import { Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { loadConfig } from '../../src/config/config.ts'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { openEventLog } from '../../src/event-log/open-event-log.ts'
import type { Addresses } from '../../src/server/addresses.ts'
import type { ServerOptions as Parts, RunningServer } from '../../src/server/server-options.ts'
import { startServer } from '../../src/server/start-server.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import type { LedgerLine } from './checker.ts'
import { cleanup } from './cleanup.ts'
import { type ServerOptions as ProcessOptions, type ServerProcess, serverEnvironment } from './server-process.ts'
import { tempDirectory } from './temp-directory.ts'

/** Those that a gateway has as its server has them. */
const settingsOfDoor = ['MILLRACE_AUTH', 'MILLRACE_CORS_ORIGINS']

export type InProcessOptions = Pick<ProcessOptions, 'dataDir' | 'env' | 'topics'> &
  Partial<Parts> & {
    /** Whether its HTTP address is that of a gateway in front of it. Default: as TEST_THROUGH_GATEWAY says, for all of them. */
    readonly isBehindGateway?: boolean
  }

/** Starts a server in this process and closes it when the test ends. Rejects like the product's own startServer. */
export async function startInProcess(t: TestContext, options: InProcessOptions = {}): Promise<InProcessServer> {
  const server = new InProcessServer(options.dataDir ?? tempDirectory(t), options)
  cleanup(t, () => server.stop())
  await server.start()
  return server
}

/** Starts a server in this process on the data directory of a server process that has ended, and redirects its clients. */
export async function continueInProcess(t: TestContext, ended: ServerProcess): Promise<InProcessServer> {
  const server = await startInProcess(t, { dataDir: ended.dataDir })
  ended.moveTo(server)
  return server
}

export class InProcessServer {
  readonly dataDir: string
  readonly #options: InProcessOptions
  readonly #lines: string[] = []
  #running: RunningServer | null = null
  #gateway: RunningServer | null = null
  #addresses: Addresses = { http: '', grpc: '' }
  #eventLog: EventLog | null = null

  constructor(dataDir: string, options: InProcessOptions) {
    this.dataDir = dataDir
    this.#options = options
  }

  /** Current or last addresses, `127.0.0.1:port`. They change with every start. `grpc` is empty for a worker. */
  get http(): string {
    return this.#gateway?.addresses.http ?? this.#addresses.http
  }

  /** The HTTP address of the server itself, whatever is in front of it. */
  get ownHttp(): string {
    return this.#addresses.http
  }

  get grpc(): string {
    return this.#addresses.grpc ?? ''
  }

  /** Its log output over all its starts. */
  get stderr(): string {
    return this.#lines.join('')
  }

  /** The lines of its log, parsed. */
  logLines(): Record<string, unknown>[] {
    return this.#lines.map((line) => JSON.parse(line))
  }

  get failed(): Promise<Error> {
    if (this.#running === null) throw new Error('the server is not running')
    return this.#running.failed
  }

  /** Starts or restarts it on its data directory. */
  async start(): Promise<void> {
    const { env = {}, topics = [], dataDir: _, openEventLog: open = openEventLog, ...parts } = this.#options
    const { isBehindGateway = process.env.TEST_THROUGH_GATEWAY === '1' } = this.#options
    const configOf = (settings: typeof env) =>
      loadConfig({ env: serverEnvironment(this.dataDir, { env: settings, topics }), cwd: this.dataDir })
    const destination = new Writable({
      write: (line, _encoding, done) => {
        this.#lines.push(String(line))
        done()
      },
    })
    const logger = createLogger({ level: 'info', version: '0.0.0', destination, pretty: false })
    this.#running = await startServer(configOf(env), {
      version: '0.0.0',
      logger,
      openEventLog: async (...given) => {
        this.#eventLog = await open(...given)
        return this.#eventLog
      },
      ...parts,
    })
    this.#addresses = this.#running.addresses
    if (!isBehindGateway || this.grpc === '') return
    const shared = Object.entries(env).filter(([name]) => settingsOfDoor.includes(name))
    const gateway = { ...Object.fromEntries(shared), MILLRACE_ROLES: 'gateway', MILLRACE_UPSTREAM: this.grpc }
    this.#gateway = await startServer(configOf(gateway), { version: '0.0.0', logger })
  }

  /** Drains and closes it. Idempotent. */
  async stop(): Promise<void> {
    await this.#gateway?.close()
    await this.#running?.close()
    this.#gateway = null
    this.#running = null
  }

  /** The ledger as the log reports it now; that of the status may be half a second old. */
  async ledger(): Promise<LedgerLine[]> {
    if (this.#eventLog === null) throw new Error('the server has not been started')
    const { topics } = await this.#eventLog.describe()
    return topics.flatMap(({ name: topic, groups }) =>
      groups.map(({ name: group, auditedWaiting, ...terms }) => ({
        ...terms,
        topic,
        group,
        balanced: terms.waiting === auditedWaiting,
      })),
    )
  }
}
