// A Millrace server inside the example's own process, with its data in a temporary directory.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Client, connect, type HandlerDefinition, loadConfig, startServer } from '../../src/index.ts'

export interface ExampleServer {
  /** Its gRPC address. */
  readonly address: string
  readonly client: Client
  /** The sum of one of its counters. */
  counter(name: string): Promise<number>
  /** Resolves when a group has done everything, and at least so many events, with its line of the ledger. */
  finished(
    group: string,
    events?: number,
  ): Promise<{ readonly accepted: number; readonly done: number; readonly dead: number }>
  close(): Promise<void>
}

export async function startExample(
  handlers: readonly HandlerDefinition[],
  settings: Readonly<Record<string, string>> = {},
): Promise<ExampleServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-example-'))
  const env = {
    MILLRACE_HTTP_PORT: '0',
    MILLRACE_GRPC_PORT: '0',
    MILLRACE_LOG_LEVEL: 'error',
    MILLRACE_DATA_DIR: dataDir,
  }
  const config = loadConfig({ env: { ...env, ...settings }, cwd: process.cwd() })
  const server = await startServer(config, { version: 'example', handlers })
  const address = server.addresses.grpc as string
  const client = connect({ addresses: [address] })
  return {
    address,
    client,
    async counter(name) {
      const text = await (await fetch(`http://${server.addresses.http}/metrics`)).text()
      const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, 'gm'))]
      return values.reduce((sum, [, value]) => sum + Number(value), 0)
    },
    async finished(group, events = 0) {
      for (;;) {
        const { ledger } = await client.status()
        const lines = ledger.filter((line) => line.group === group)
        const sum = (term: 'accepted' | 'landed' | 'dead') =>
          lines.reduce((total, line) => total + (line[term] ?? 0), 0)
        const [accepted, done, dead] = [sum('accepted'), sum('landed'), sum('dead')]
        // The status may be a little older than the last publish.
        if (accepted >= events && lines.every(({ waiting }) => waiting === 0)) return { accepted, done, dead }
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    },
    async close() {
      client.close()
      await server.close()
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}
