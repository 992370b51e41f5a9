// Relays between a client and a server on this host until it is closed; then the client is cut off for good, as if it
// had exited.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface TcpRelay {
  readonly url: string
  readonly port: number
  /** Resets every connection and accepts no new ones. Idempotent. */
  close(): Promise<void>
}

export async function startTcpRelay(port: number): Promise<TcpRelay> {
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  }
  const server = createServer((client) => {
    const target = connect(port, '127.0.0.1')
    keep(client)
    keep(target)
    client.pipe(target).pipe(client)
    client.on('close', () => target.destroy())
    target.on('close', () => client.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  let closed: Promise<void> | null = null
  const { port: ownPort } = server.address() as AddressInfo
  return {
    url: `redis://127.0.0.1:${ownPort}`,
    port: ownPort,
    close() {
      closed ??= new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
      return closed
    },
  }
}
