// A gRPC call by way of a bare HTTP/2 client, for requests that are good HTTP/2 and bad gRPC.

import { connect, constants } from 'node:http2'
import { within } from './eventually.ts'

export interface BareCall {
  readonly path: string
  /** Beside or instead of those of a plain gRPC call. */
  readonly headers?: Readonly<Record<string, string>>
  /** What goes into the DATA frames. */
  readonly body: Uint8Array
  /** Whether the request ends after the body; true when left out. */
  readonly end?: boolean
  /** What has come until then is the answer to an unended call. */
  readonly withinMs?: number
}

export interface BareAnswer {
  readonly httpStatus: number
  /** From trailers, or from the headers of an answer without a body; null when there is none. */
  readonly grpcStatus: number | null
  readonly grpcMessage: string
  /** How the stream was reset; null when it was not. */
  readonly resetCode: number | null
}

/** Makes the call on a connection of its own and waits until it is answered or reset. */
export async function bareCall(address: string, call: BareCall): Promise<BareAnswer> {
  const session = connect(`http://${address}`)
  session.on('error', () => {})
  try {
    const stream = session.request(
      {
        ':method': 'POST',
        ':path': call.path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...call.headers,
      },
      { endStream: false },
    )
    let httpStatus = 0
    let grpcStatus: number | null = null
    let grpcMessage = ''
    const read = (headers: Record<string, unknown>): void => {
      if (headers[':status'] !== undefined) httpStatus = Number(headers[':status'])
      if (headers['grpc-status'] !== undefined) grpcStatus = Number(headers['grpc-status'])
      if (headers['grpc-message'] !== undefined) grpcMessage = decodeURIComponent(String(headers['grpc-message']))
    }
    stream
      .on('response', read)
      .on('trailers', read)
      .on('error', () => {})
    stream.resume()
    stream.write(call.body)
    if (call.end !== false) stream.end()
    // The answer may be whole while the request is still open.
    const answered = new Promise((resolve) => stream.on('end', resolve).on('close', resolve))
    await within(call.withinMs ?? 5000, `the answer of ${call.path}`, answered)
    const resetCode = stream.rstCode === constants.NGHTTP2_NO_ERROR ? null : (stream.rstCode ?? null)
    return { httpStatus, grpcStatus, grpcMessage, resetCode }
  } finally {
    session.destroy()
  }
}
