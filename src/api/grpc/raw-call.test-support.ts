// Raw HTTP/2 requests to the gRPC server, with any bytes and headers.

import type { EventEmitter } from 'node:events'
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from 'node:http2'
import type { TestContext } from 'node:test'

export const publishPath = '/millrace.v1.IngestService/Publish'

export function openSession(t: TestContext, address: string): ClientHttp2Session {
  const session = connect(`http://${address}`)
  session.on('error', () => {})
  t.after(() => session.destroy())
  return session
}

/** Unlike `once`, it does not reject when an error is emitted first. */
export function closed(connection: EventEmitter): Promise<void> {
  return new Promise((resolve) => connection.once('close', () => resolve()))
}

/** A gRPC frame: flag, length, message. */
export function frame(message: Buffer, flag = 0): Buffer {
  const head = Buffer.alloc(5)
  head[0] = flag
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** Makes a raw request; resolves with headers and trailers in one object. */
export async function request(
  session: ClientHttp2Session,
  body: Buffer | null,
  headers: OutgoingHttpHeaders = {},
): Promise<Record<string, unknown>> {
  const stream = session.request({
    ':method': 'POST',
    ':path': publishPath,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  })
  const answer: Record<string, unknown> = {}
  stream.on('response', (more) => Object.assign(answer, more))
  stream.on('trailers', (more) => Object.assign(answer, more))
  stream.on('error', (error) => Object.assign(answer, { error }))
  stream.resume()
  if (body === null) stream.end()
  else stream.end(body)
  await closed(stream)
  return answer
}
