// A port of this host that no process listens on.
//
// The port is below the ephemeral range: a port in that range could be assigned to a connection before it is used.

import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

const firstPort = 10_240
const endPort = 32_768

export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(firstPort, endPort)
    const server = createServer().listen(port, '127.0.0.1')
    try {
      await once(server, 'listening')
    } catch (failure) {
      if ((failure as NodeJS.ErrnoException).code === 'EADDRINUSE') continue
      throw failure
    }
    server.close()
    await once(server, 'close')
    return port
  }
}
