// Requests that are not HTTP, or too slow with their headers: answered by hand, for no request exists.

import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { MillraceError } from '../../errors.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { codeOfHttpStatus } from '../status.ts'
import { problemContentType, problemMembers } from './problem.ts'

/** Answers and closes the connection: where the next request would begin is not known. */
export function answerMalformed(error: NodeJS.ErrnoException, socket: Socket, logger: Logger): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, reason] = statusOf(error.code ?? '')
  const failure = new MillraceError(codeOfHttpStatus(status), reason)
  const body = JSON.stringify(problemMembers(status, failure))
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `content-type: ${problemContentType}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  const peer = `${socket.remoteAddress}:${socket.remotePort}`
  logger.warn({ status, code: failure.code, peer, reason, parser: error.code }, 'request failed')
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  // `end` waits for the client to close its side; one that does not is not waited for.
  socket.destroySoon()
}

function statusOf(code: string): [number, string] {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return [431, 'the headers are larger than 16 KiB']
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'the headers did not arrive in time']
    default:
      return [400, 'this is not a valid HTTP/1.1 request']
  }
}
