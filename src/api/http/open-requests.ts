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

export class OpenRequests {
  readonly #bySocket = new WeakMap<Socket, Set<Request>>()
  readonly #broken = new WeakSet<Socket>()

  constructor(server: Server) {
    server.prependListener('request', (request, response) => {
      const { socket } = request
      const open = this.#bySocket.get(socket) ?? new Set()
      this.#bySocket.set(socket, open.add(request))
      response.once('close', () => {
        open.delete(request)
        if (open.size === 0 && this.#broken.has(socket)) socket.destroySoon()
      })
    })
  }

  /**
   * Nothing more can be read from the connection. False when it has no open request, so nobody answers.
   *
   * @param failure why the body of the last request, if it is not complete, ends here.
   */
  breakOff(socket: Socket, failure: MillraceError): boolean {
    const last = [...(this.#bySocket.get(socket) ?? [])].at(-1)
    if (last === undefined) return this.#broken.has(socket)
    this.#broken.add(socket)
    if (last.complete) return true
    last[bodyBroken] ??= failure
    last.emit(bodyBroken)
    return true
  }
}
