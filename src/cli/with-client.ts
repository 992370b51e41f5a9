// A command that asks a running server.

import { type Client, connect } from '../client/connect.ts'
import { loadConfig } from '../config/config.ts'
import type { CommandInput } from './command.ts'
import { serverAddresses } from './server-addresses.ts'

/** Longer than a call of redrive or replay works. */
const deadlineMs = 40_000

/** Runs the work with a client of the server that the settings name, and lets go of the connection. */
export async function withClient<T>({ configInput }: CommandInput, work: (client: Client) => Promise<T>): Promise<T> {
  const config = loadConfig({ ...configInput, isForClient: true })
  const client = connect({ addresses: () => serverAddresses(config), deadlineMs })
  try {
    return await work(client)
  } finally {
    client.close()
  }
}
