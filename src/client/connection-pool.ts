// Connections to a server for calls that last: a server takes 100 streams on a connection, and a call that finds no stream
// waits for ever.

import type { ServerConnection } from './server-connection.ts'

/** The others are for calls that do not wait. */
const maxLastingPerConnection = 80

export class ConnectionPool {
  /** For calls that do not last. Stays open. */
  readonly first: ServerConnection
  readonly #make: () => ServerConnection
  /** Each with the number of its lasting calls. */
  readonly #connections = new Map<ServerConnection, number>()

  constructor(make: () => ServerConnection) {
    this.#make = make
    this.first = make()
    this.#connections.set(this.first, 0)
  }

  /** A connection with room for one more lasting call, which is counted until it is given back. */
  take(): ServerConnection {
    const found = [...this.#connections].find(([, lasting]) => lasting < maxLastingPerConnection)
    const connection = found?.[0] ?? this.#make()
    this.#count(connection, 1)
    return connection
  }

  giveBack(connection: ServerConnection): void {
    this.#count(connection, -1)
  }

  /** Running calls can still finish. Idempotent. */
  close(): void {
    for (const connection of this.#connections.keys()) connection.close()
  }

  #count(connection: ServerConnection, more: 1 | -1): void {
    const lasting = (this.#connections.get(connection) ?? 0) + more
    this.#connections.set(connection, lasting)
    if (lasting > 0 || connection === this.first) return
    this.#connections.delete(connection)
    connection.close()
  }
}
