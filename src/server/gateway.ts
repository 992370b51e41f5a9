// A gateway: serves the HTTP API of servers in other processes, and has nothing of its own: no log, no database, no keys.
//
// Job: the same as server.ts for this role; the parts that both have are assembled the same way.

import { everything } from '../access/grant.ts'
import { type AccessControl, type Caller, type CallOrigin, wrongKey } from '../api/access.ts'
import { bearerOf } from '../api/bearer.ts'
import type { Need } from '../api/scopes.ts'
import { ServerCertificate } from '../api/server-certificate.ts'
import { startApi } from '../api/start-api.ts'
import { RemoteServer } from '../client/remote-server.ts'
import { secureContextOf } from '../client/secure-context.ts'
import { type Config, needsKeys } from '../config/config.ts'
import { readClientTls } from '../config/tls-files.ts'
import { traceAttributesOf, traceContextOf } from '../event/trace-context.ts'
import type { Grant } from '../pipeline/keys.ts'
import { Health } from '../telemetry/health.ts'
import { createLogger } from '../telemetry/logger.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Closers } from './closers.ts'
import type { RunningServer, ServerOptions } from './server-options.ts'
import { UpstreamWatch } from './upstream-watch.ts'

/** What gRPC takes as text. No key has other characters. */
const isMetadata = /^[ -~]*$/

/** Longest wait for one address, in milliseconds. */
const connectTimeoutMs = 3000

/** Errors: as startServer; it also starts while no server answers. */
export async function startGateway(config: Config, options: ServerOptions): Promise<RunningServer> {
  const { version, logger = createLogger({ level: config.logLevel, version }), now = Date.now } = options
  const closers = new Closers()
  try {
    const certificate = await ServerCertificate.open({ config, logger, now })
    closers.add(async () => certificate?.close())
    // What is wrong with its files is said now.
    await readClientTls(config)
    const metrics = createMetrics({ topics: [], groups: [] })
    closers.add(async () => metrics.close())
    metrics.onScrape(() => metrics.logLinesLost.set(logger.linesLost))
    const health = new Health(['upstream'])
    const server = new RemoteServer({
      addresses: () => config.upstream,
      connectTimeoutMs,
      secureContext: async () => secureContextOf(await readClientTls(config)),
    })
    closers.add(async () => server.close())
    const watch = new UpstreamWatch({ server, health, logger })
    closers.add(async () => watch.close())
    await watch.start()
    const access = new PassedOnAccess(server, needsKeys(config))
    const parts = { pipeline: server.pipelineOf({}), access, health, metrics, logger, version, certificate }
    const api = await startApi({ ...config, ...parts })
    closers.add(async (remainingMs) => {
      server.drain()
      await api.drain(remainingMs())
    })
    let closed: Promise<void> | null = null
    const close = () => {
      health.startDraining()
      closed ??= closers.run(logger, config.drainMs)
      return closed
    }
    const addresses = { http: api.http, grpc: null, ...(certificate === null ? {} : { tls: true as const }) }
    return { addresses, failed: new Promise(() => {}), close }
  } catch (error) {
    await closers.run(logger, config.drainMs)
    throw error
  }
}

/** Refuses nobody: the key goes on with each call, and the server judges it. */
class PassedOnAccess implements AccessControl {
  readonly needsKeys: boolean
  readonly #server: RemoteServer
  /** What each caller sent. */
  readonly #credentials = new WeakMap<Caller, string>()

  constructor(server: RemoteServer, areKeysNeeded: boolean) {
    this.#server = server
    this.needsKeys = areKeysNeeded
  }

  authorize(authorization: string | undefined, _need: Need, origin?: CallOrigin): Caller {
    // The library would put it into the text of an error, and that is logged.
    if (authorization !== undefined && !isMetadata.test(authorization)) throw wrongKey()
    const trace = traceContextOf(origin?.traceparent, origin?.tracestate)
    const ofTrace = trace === undefined ? {} : Object.fromEntries(traceAttributesOf(trace))
    const metadata = { authorization, 'x-request-id': origin?.requestId, ...ofTrace }
    const caller = { grant: everything, pipeline: this.#server.pipelineOf(metadata) }
    const credential = bearerOf(authorization)
    if (credential !== null) this.#credentials.set(caller, credential)
    return caller
  }

  async authorizeTicket(ticket: string, need: Need, origin?: CallOrigin): Promise<Caller> {
    return this.authorize(`Bearer ${ticket}`, need, origin)
  }

  async authorizeSession(session: string, need: Need, origin?: CallOrigin): Promise<Caller> {
    return this.authorize(`Bearer ${session}`, need, origin)
  }

  async confirm({ pipeline }: Caller): Promise<void> {
    await pipeline.status()
  }

  async grantOf(caller: Caller): Promise<Grant | null> {
    const credential = this.#credentials.get(caller)
    return credential === undefined ? null : await caller.pipeline.keys.check(credential)
  }

  /** The server ends what its callers have open. */
  onEnded(): () => void {
    return () => {}
  }
}
