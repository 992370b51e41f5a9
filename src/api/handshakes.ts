// Connections whose TLS handshake is not complete: what becomes of one that fails.

import type { Socket } from 'node:net'
import type { Server } from 'node:tls'
import type { Logger } from '../telemetry/logger.ts'

export interface HandshakesOptions {
  readonly transport: 'grpc' | 'http'
  readonly logger: Logger
  /** Answers a client that speaks plain HTTP; the connection is closed by it. Without it, it is closed at once. */
  readonly answerPlain?: (socket: Socket) => void
}

/** Address and port of the other side. A TLS socket has those of the TCP connection that it lies on. */
export function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`
}

export class Handshakes {
  /** The TCP connections, by peer. */
  readonly #open = new Map<string, Socket>()

  constructor(server: Server, { transport, logger, answerPlain }: HandshakesOptions) {
    server.on('connection', (socket) => {
      const peer = peerOf(socket)
      this.#open.set(peer, socket)
      socket.once('close', () => this.#open.delete(peer))
    })
    server.on('secureConnection', (socket) => this.#open.delete(peerOf(socket)))
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      const peer = peerOf(socket)
      // After a refused client certificate, Node names only the reset that it made itself.
      const code = socket.authorizationError ?? error.code
      // A client that leaves in silence, as checks of an open port do, has not failed.
      if (String(code) !== 'ECONNRESET')
        logger.warn({ transport, peer, reason: String(code) }, 'a TLS handshake failed')
      const connection = this.#open.get(peer)
      if (error.code === 'ERR_SSL_HTTP_REQUEST' && answerPlain !== undefined && connection !== undefined) {
        answerPlain(connection)
      } else {
        socket.destroy()
        connection?.destroy()
      }
    })
  }

  has(socket: Socket): boolean {
    return this.#open.has(peerOf(socket))
  }

  destroyAll(): void {
    for (const socket of this.#open.values()) socket.destroy()
  }
}
