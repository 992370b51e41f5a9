// Expect: 100-continue (RFC 9110, 10.1.1): the client sends its body when it is asked to, or gets the refusal at once.
//
// The body is asked for by the first read of it, so whatever refuses the request before that spares the client the body.

import type { IncomingMessage, Server } from 'node:http'

const askClient = Symbol('askClient')

interface Request extends IncomingMessage {
  [askClient]?: () => void
}

/** Without it, Node asks for every body before the request is looked at. */
export function answerBeforeContinue(server: Server): void {
  server.on('checkContinue', (request: Request, response) => {
    request[askClient] = () => {
      if (!response.headersSent) response.writeContinue()
    }
    server.emit('request', request, response)
  })
}

/** Called before the body is read. */
export function askForBody(request: Request): void {
  request[askClient]?.()
  delete request[askClient]
}

/** Whether the client was not asked for its body: whether it sends it all the same, only the end of the connection decides. */
export function isBodyHeldBack(request: Request): boolean {
  return request[askClient] !== undefined && !request.complete
}
