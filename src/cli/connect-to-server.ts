// The client with which commands call the configured server.

import { type Client, connect } from '../client/connect.ts'
import type { Config } from '../config/config.ts'
import { readClientTls } from '../config/tls-files.ts'
import { serverAddresses } from './server-addresses.ts'

/** @param deadlineMs timeout of one call; by default that of the client. */
export function connectToServer(config: Config, deadlineMs?: number): Client {
  return connect({
    addresses: () => serverAddresses(config),
    tls: () => readClientTls(config),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
  })
}
