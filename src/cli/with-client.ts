// Runs a command's calls to a running server.

import { type Client, connect } from '../client/connect.ts'
import { loadConfig } from '../config/config.ts'
import type { CommandInput } from './command.ts'
import { connectOptions } from './server-addresses.ts'

/** Longer than one call of redrive or replay takes. */
const deadlineMs = 40_000

/**
 * Runs the work with a client of the configured server, and closes the client afterwards.
 * @param key is sent in place of the configured one.
 */
export async function withClient<T>(
  { configInput }: CommandInput,
  work: (client: Client) => Promise<T>,
  key?: string,
): Promise<T> {
  const config = loadConfig({ ...configInput, isForClient: true })
  const client = connect({ ...connectOptions(config), deadlineMs, ...(key === undefined ? {} : { key }) })
  try {
    return await work(client)
  } finally {
    client.close()
  }
}
