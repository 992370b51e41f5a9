// Answers connections whose data is not HTTP or whose headers are too slow: written to the socket where no request
// exists.

import type { Socket } from 'node:net'
import { MillraceError } from '../../errors.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { peerOf } from '../handshakes.ts'
import { requestIdOf } from '../request-context.ts'
import { codeOfHttpStatus } from '../status.ts'
import type { OpenRequests } from './open-requests.ts'
import { problemContentType, problemMembers } from './problem.ts'

/** Answers and closes the connection, because the start of a next request is unknown. Open requests answer first. */
export function answerMalformed(
  error: NodeJS.ErrnoException,
  socket: Socket,
  openRequests: OpenRequests,
  logger: Logger,
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  if (openRequests.breakOff(socket, brokenBody(error))) return
  const answer = isTls(error) ? spokenTls : answerOf(error.code ?? '')
  const { status, reason } = answer
  const requestId = requestIdOf(undefined)
  logger.warn(
    { request_id: requestId, status, code: codeOfHttpStatus(status), peer: peerOf(socket), reason, parser: error.code },
    'request failed',
  )
  write(answer, socket, requestId)
}

/** Answers, without TLS, a client that sent a request without it. */
export function answerPlain(socket: Socket): void {
  write({ status: 400, phrase: 'Bad Request', reason: 'this port speaks TLS only: use https:// in the URL' }, socket)
}

/** In the log this is the reason; the client takes the answer for broken TLS. */
const spokenTls: PlainAnswer = {
  status: 400,
  phrase: 'Bad Request',
  reason: 'this port does not speak TLS: use http:// in the URL, or set MILLRACE_TLS_CERT',
}

/** Whether what the parser could not read begins with a TLS handshake. */
function isTls({ rawPacket }: NodeJS.ErrnoException & { readonly rawPacket?: Buffer }): boolean {
  return rawPacket?.[0] === 0x16 && rawPacket[1] === 0x03
}

interface PlainAnswer {
  readonly status: number
  readonly phrase: string
  readonly reason: string
}

function write({ status, phrase, reason }: PlainAnswer, socket: Socket, requestId = requestIdOf(undefined)): void {
  const error = new MillraceError(codeOfHttpStatus(status), reason)
  const body = JSON.stringify({ ...problemMembers(status, error), instance: `urn:millrace:request:${requestId}` })
  const head = [
    `HTTP/1.1 ${status} ${phrase}`,
    `content-type: ${problemContentType}`,
    `x-request-id: ${requestId}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  // `end` alone would wait for the client to close its side.
  socket.destroySoon()
}

function brokenBody({ code }: NodeJS.ErrnoException): MillraceError {
  const problem =
    code === 'HPE_INVALID_EOF_STATE'
      ? 'the body broke off: the client ended the connection before the end of the body'
      : 'the body broke off: what followed is not valid HTTP/1.1'
  return new MillraceError('invalid_event', problem, { field: 'body', cause: code })
}

/** The phrases are written out: node:http, imported as a module, costs each process 70 ms more at its start. */
function answerOf(code: string): PlainAnswer {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return {
        status: 431,
        phrase: 'Request Header Fields Too Large',
        reason: 'the headers are larger than 16 KiB',
      }
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, phrase: 'Request Timeout', reason: 'the headers did not arrive in time' }
    default:
      return { status: 400, phrase: 'Bad Request', reason: 'this is not a valid HTTP/1.1 request' }
  }
}
