// Opens a listening socket. Its errors say how to fix the configuration.

import type { AddressInfo, Server } from 'node:net'
import { MillraceError } from '../errors.ts'
import type { Logger } from '../telemetry/logger.ts'

/** How many connections may wait to be accepted. */
const backlog = 1024

export interface ListenOptions {
  readonly host: string
  /** 0 for any free port. */
  readonly port: number
  /** The setting of the port, for error messages. */
  readonly variable: string
  readonly logger: Logger
}

/**
 * Listens and returns the bound address, for example `127.0.0.1:8080`.
 *
 * @throws MillraceError `failed_precondition` naming the setting, the address and the fix.
 */
export async function listen(server: Server, { host, port, variable, logger }: ListenOptions): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host, port, backlog }, resolve)
  try {
    await promise
  } catch (error) {
    throw listenError(error as NodeJS.ErrnoException, hostAndPort(host, port), variable)
  } finally {
    server.off('error', reject)
  }
  // Without a listener, an error when accepting a connection (no file descriptors left) would end the process.
  server.on('error', (error) => logger.warn({ error }, 'a connection could not be accepted'))
  const address = server.address() as AddressInfo
  return hostAndPort(address.address, address.port)
}

function hostAndPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function listenError(error: NodeJS.ErrnoException, address: string, variable: string): MillraceError {
  const fail = (field: string, message: string) =>
    new MillraceError('failed_precondition', `${field}: ${message}`, { field, cause: error })
  switch (error.code) {
    case 'EADDRINUSE':
      return fail(
        variable,
        `${address} is in use by another program: stop that program, or set another port (0 for any free one)`,
      )
    case 'EACCES':
      return fail(variable, `this user is not permitted to listen on ${address}: set a port of 1024 or more`)
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return fail(
        'MILLRACE_HOST',
        `${address} is not an address of this machine: set 127.0.0.1 or another address of it`,
      )
    default:
      return fail(variable, `cannot listen on ${address}: ${error.message}`)
  }
}
