// A port of this host that no process listens on.
//
// Below the range from which the system gives ports to connections: one of those could be taken before it is used.

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
    } catch {
      continue
    }
    server.close()
    await once(server, 'close')
    return port
  }
}
