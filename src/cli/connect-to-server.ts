// The client with which commands call the configured server.

import { type Client, type ConnectOptions, connect } from '../client/connect.ts'
import type { Config } from '../config/config.ts'
import { connectOptions } from './server-addresses.ts'

/** @param more replaces what is configured. */
export function connectToServer(config: Config, more: ConnectOptions = {}): Client {
  return connect({ ...connectOptions(config), ...more })
}
