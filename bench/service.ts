// The measured Millrace server: a separate process on a fresh data directory.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from '../src/client/connect.ts'
import type { Status } from '../src/pipeline/pipeline.ts'
import { ServerProcess } from '../test/support/server-process.ts'
import { nodeArguments } from './program.ts'

/** Limits so high that no event is refused for lack of room. */
export const roomForAll = {
  MILLRACE_MAX_WAITING_EVENTS: '1000000000',
  MILLRACE_MAX_WAITING_BYTES: String(2 ** 40),
}

/** Accepts all events and lands none. */
export const ingestOnly = { MILLRACE_ROLES: 'ingest', ...roomForAll }

export interface Service {
  readonly address: string
  /** HTTP address, `127.0.0.1:port`. */
  readonly http: string
  readonly pid: number
  /** Its admin key; null unless MILLRACE_AUTH is `keys`. */
  readonly key: string | null
  readonly startedInSeconds: number
  readonly rssBytes: number
  status(): Promise<Status>
  /** Current value of one of its counters, summed over all series. */
  counter(name: string): Promise<number>
  stop(): Promise<void>
  /** kill -9 */
  crash(): Promise<void>
}

export async function startService(
  dataDir: string,
  env: Readonly<Record<string, string>> = {},
  moreArguments: readonly string[] = [],
): Promise<Service> {
  const server = processOf(dataDir, env, moreArguments)
  const startMs = performance.now()
  await server.start()
  const startedInSeconds = (performance.now() - startMs) / 1000
  const key = env.MILLRACE_AUTH === 'keys' ? readFileSync(join(dataDir, 'admin.key'), 'utf8').trim() : null
  const client = connect({ addresses: [server.grpc], ...(key === null ? {} : { key }) })
  const headers: Record<string, string> = key === null ? {} : { authorization: `Bearer ${key}` }
  return {
    address: server.grpc,
    http: server.http,
    pid: server.pid,
    key,
    startedInSeconds,
    get rssBytes() {
      return server.rssBytes
    },
    status: () => client.status(),
    counter: async (name) =>
      sumOfSeries(await (await fetch(`http://${server.http}/metrics`, { headers })).text(), name),
    stop: async () => {
      client.close()
      const { code, signal } = await server.stop(60_000)
      if (code !== 0) throw new Error(`the server exited with ${code ?? signal}:\n${server.stderr}`)
    },
    crash: () => {
      client.close()
      return server.crash()
    },
  }
}

/** A gateway in front of a service, in a directory of its own. */
export async function startGateway(dataDir: string, service: Service): Promise<ServerProcess> {
  const gateway = processOf(dataDir, { MILLRACE_ROLES: 'gateway', MILLRACE_UPSTREAM: service.address })
  await gateway.start()
  return gateway
}

function processOf(
  dataDir: string,
  env: Readonly<Record<string, string>>,
  moreArguments: readonly string[] = [],
): ServerProcess {
  const server = new ServerProcess(dataDir, {
    env: { MILLRACE_LOG_LEVEL: 'warn', ...env },
    nodeArguments: [...nodeArguments, ...profileArguments(), ...moreArguments],
    readyWithinMs: 60_000,
  })
  // A block that fails must not leave its server behind.
  process.once('exit', () => {
    if (server.running) server.kill()
  })
  return server
}

/** `BENCH_PROFILE_DIR=<directory>` writes a CPU profile of each of the server's threads there. */
function profileArguments(): string[] {
  const directory = process.env.BENCH_PROFILE_DIR
  return directory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${directory}`]
}

function sumOfSeries(exposition: string, name: string): number {
  const pattern = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, 'gm')
  return [...exposition.matchAll(pattern)].reduce((sum, [, value]) => sum + Number(value), 0)
}
