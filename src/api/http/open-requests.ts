// The requests of each connection that are not answered yet.
//
// Job: when a connection breaks off or sends something that is not HTTP, let these requests give their answers, which
// say what was taken, and close the connection after the last of them.

import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { MillraceError } from '../../errors.ts'

/** Emitted by a request whose body will never be whole; the property of the same name says why. */
export const bodyBroken = Symbol('bodyBroken')

export interface Request extends IncomingMessage {
  [bodyBroken]?: MillraceError
}

interface Connection {
  /** Not answered yet. */
  readonly open: Set<Request>
  /** The latest request; null once it is complete and answered. */
  last: Request | null
}

export class OpenRequests {
  readonly #bySocket = new WeakMap<Socket, Connection>()
  readonly #broken = new WeakSet<Socket>()

  constructor(server: Server) {
    server.prependListener('request', (request, response) => {
      const { socket } = request
      const connection: Connection = this.#bySocket.get(socket) ?? { open: new Set(), last: null }
      const { open } = connection
      this.#bySocket.set(socket, connection)
      open.add(request)
      connection.last = request
      response.once('close', () => {
        open.delete(request)
        if (connection.last === request && request.complete) connection.last = null
        if (open.size === 0 && this.#broken.has(socket)) socket.destroySoon()
      })
    })
  }

  isBroken(socket: Socket): boolean {
    return this.#broken.has(socket)
  }

  /**
   * Nothing more can be read from the connection. False when no request is open or has an incomplete body: nobody
   * answers.
   *
   * @param failure why the body of the last request, if it is not complete, ends here.
   */
  breakOff(socket: Socket, failure: MillraceError): boolean {
    const { open, last } = this.#bySocket.get(socket) ?? { open: new Set(), last: null }
    if (last === null || (last.complete && !open.has(last))) return this.#broken.has(socket)
    this.#broken.add(socket)
    // Its answer was sent before the body ended: a second one would be read as that of the next request.
    if (!open.has(last)) socket.destroySoon()
    if (last.complete) return true
    last[bodyBroken] ??= failure
    last.emit(bodyBroken)
    return true
  }
}
