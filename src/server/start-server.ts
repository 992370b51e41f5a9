// Starts the server that the roles ask for. Each loads what it needs: a gateway none of the drivers, the others no client.

import type { Config } from '../config/config.ts'
import type { RunningServer, ServerOptions } from './server-options.ts'

/**
 * Starts a server and resolves once it accepts calls. A gateway accepts them also while no server answers it.
 * Errors: MillraceError whose message says what to do: `failed_precondition` (the data directory is in use or of a
 * newer version, or a port is in use), `corrupt` (the data directory is damaged), `unavailable` (it cannot be written).
 */
export async function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  if (config.roles.includes('gateway')) {
    const { startGateway } = await import('./gateway.ts')
    return await startGateway(config, options)
  }
  const { startCore } = await import('./server.ts')
  return await startCore(config, options)
}
