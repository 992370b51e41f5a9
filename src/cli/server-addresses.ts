// Where client commands find the server, and the key that they send.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { adminKeyFile } from '../access/first-key.ts'
import type { ConnectOptions } from '../client/connect.ts'
import { partsOf } from '../client/secure-context.ts'
import { type Config, isLoopback } from '../config/config.ts'
import { readClientTls } from '../config/tls-files.ts'

const defaultAddress = '127.0.0.1:50051'

/**
 * The gRPC addresses to try: those of MILLRACE_ADDRESS, else the one that a server wrote into the data directory, else the
 * default. The file is reread at each call, because a server may restart on another port.
 */
export function serverAddresses({ address, dataDir }: Pick<Config, 'address' | 'dataDir'>): readonly string[] {
  if (address.length > 0) return address
  return [writtenAddress(dataDir) ?? defaultAddress]
}

/** For `connect`. */
export function connectOptions(config: Config): ConnectOptions {
  return {
    addresses: () => serverAddresses(config),
    tls: () => readClientTls(config),
    key: config.key ?? ownKey(config),
  }
}

/** The key that the server of the data directory has made for itself. It is not sent to other machines. */
function ownKey({ address, dataDir }: Config): string | null {
  if (!address.every((each) => isLoopback(partsOf(each).host))) return null
  try {
    return readFileSync(join(dataDir, adminKeyFile), 'utf8').trim() || null
  } catch {
    return null
  }
}

function writtenAddress(dataDir: string): string | null {
  try {
    const addresses: unknown = JSON.parse(readFileSync(join(dataDir, 'addresses.json'), 'utf8'))
    const grpc = (addresses as { readonly grpc?: unknown } | null)?.grpc
    return typeof grpc === 'string' && grpc !== '' ? grpc : null
  } catch {
    // The file is missing or incomplete: use the default.
    return null
  }
}
